"""What models see: counts, intervals, margins."""

import numpy as np
import pytest

from fulora.assessment.label_truth import ClassScores, compute_truths, known_planes, margins
from fulora.metrics.statistics import wilson

CLASSES = ("abdomen", "brain", "femur", "thorax", "other")
BRAIN, FEMUR = 1, 2


def test_agreement_is_reported_beside_that_of_real_images() -> None:
    asked = known_planes(np.array(["brain"] * 4 + ["femur"] * 2 + ["intrapartum"]), CLASSES)
    assert asked.tolist() == [BRAIN] * 4 + [FEMUR] * 2 + [-1]
    seen = np.eye(5)[[1, 1, 1, 0, 1, 2, 3]]
    real = ClassScores("judge", seen, np.eye(5)[[1, 1, 2]], np.array([1, 1, 1]))
    brain, femur = compute_truths(asked, [real], CLASSES)
    assert (brain.plane, brain.n, brain.seen, brain.agreement) == ("brain", 4, (1, 3, 0, 0, 0), 0.75)
    assert (brain.low, brain.high) == (wilson(3, 4).low, wilson(3, 4).high)
    assert (brain.real_n, brain.real_agreement, brain.real_low) == (3, pytest.approx(2 / 3), wilson(2, 3).low)
    assert (femur.seen, femur.real_n, femur.real_agreement) == ((0, 1, 1, 0, 0), 0, None)


def test_margins() -> None:
    scores = np.array([[0.1, 0.6, 0.3, 0, 0], [0.5, 0.2, 0.3, 0, 0], [0.5, 0.2, 0.3, 0, 0]])
    found = margins(scores, np.array([1, 1, -1]))
    assert found[:2] == pytest.approx([0.3, -0.3])
    assert found[2] == np.inf


def test_places_are_those_of_any_classes_in_their_order() -> None:
    classes = tuple(f"view {number}" for number in range(30))
    asked = known_planes(np.array(["view 29", "view 3", "elsewhere"]), classes)
    assert asked.tolist() == [29, 3, -1]
    seen = np.eye(30)[[29, 4, 0]]
    lines = compute_truths(asked, [ClassScores("clip", seen, np.eye(30)[[3]], np.array([3]))], classes)
    assert [(line.plane, line.agreement, line.real_agreement) for line in lines] == [
        ("view 3", 0.0, 1.0),
        ("view 29", 1.0, None),
    ]
    assert [line.seen.index(1) for line in lines] == [4, 29]
