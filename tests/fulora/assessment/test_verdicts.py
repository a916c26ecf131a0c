"""Verdicts object where the figures do, and nowhere else."""

from dataclasses import replace

import pytest

from fulora.assessment.encoder_figures import EncoderFigures, PlaneFigures, SetFigures
from fulora.assessment.label_truth import Truth
from fulora.assessment.screening import CalibratedFilter
from fulora.assessment.shortcuts import Shortcut
from fulora.assessment.verdicts import VerdictInputs, describe_memorisation, verdicts
from fulora.metrics.manifold import Manifold
from fulora.metrics.memorisation import Memorisation, VoteTest

NEAR = SetFigures(40, 20, 0.01, 0.002, 0.2, None, 1.0, Manifold(0.9, 0.8, 1.0, 0.9), 5.0, 1.0, 0.0)
BULK = VoteTest(0.5, 0.5, 0.4, 0.6, 0.4, 100, 40)
TESTED = Memorisation(BULK, BULK, 0.1, 0.01, 0.01, 0.0, 0.8)
PLANES = tuple(PlaneFigures(plane, NEAR, NEAR, 5.0, 1.0) for plane in ("all", "brain", "femur"))
FINE = VerdictInputs(
    counts={"brain": 50, "femur": 50},
    encoders=[EncoderFigures("pixels", PLANES, TESTED)],
    truths=[Truth("judge", plane, 50, (0, 40, 10, 0, 0), 0.8, 0.7, 0.9, 20, 0.9, 0.7) for plane in ("brain", "femur")],
    shortcuts=[Shortcut("brain", "border", 0.6, 0.5, 70), Shortcut("brain", "all cues", 0.7, 0.5, 70)],
    filters=[CalibratedFilter("memorised", ("ratio",), (0.6,), 60, {"brain": 3, "femur": 2})],
    false_reject=0.05,
)


def test_good_images_have_no_objections() -> None:
    found = verdicts(FINE)
    assert [one.plane for one in found] == ["all", "brain", "femur"]
    assert all(one.summary == "no objection found" for one in found)
    assert "Filters would reject of 50: 3 memorised" in str(found[1])
    (line,) = describe_memorisation(FINE.encoders)
    assert line.startswith("No evidence that training patients were memorised (pixels, p = 0.8000)")


@pytest.mark.parametrize(
    ("change", "plane", "message"),
    [
        (
            {"filters": [replace(FINE.filters[0], rejected={"brain": 12, "femur": 2})]},
            "brain",
            "12 of 50 images are as",
        ),
        (
            {"encoders": [EncoderFigures("pixels", PLANES, replace(TESTED, p=0.01))]},
            "all",
            "evidence that training patients",
        ),
        (
            {"truths": [replace(FINE.truths[0], agreement=0.4, low=0.3, high=0.6)]},
            "brain",
            "the judge sees the plane in",
        ),
        ({"shortcuts": [replace(line, auc=0.99) for line in FINE.shortcuts]}, "brain", "by border alone 0.99"),
        (
            {"encoders": [EncoderFigures("pixels", (replace(PLANES[1], synthetic=replace(NEAR, vendi=2.0)),), TESTED)]},
            "brain",
            "40 are worth 2.0 different ones, as many real ones 5.0",
        ),
    ],
    ids=["copies", "test", "labels", "shortcut", "alike"],
)
def test_each_objection_has_its_evidence(change: dict[str, object], plane: str, message: str) -> None:
    found = verdicts(replace(FINE, **change))  # type: ignore[arg-type]
    (objecting,) = [one for one in found if message in one.summary]
    assert objecting.plane == plane


@pytest.mark.parametrize(("rejected", "objects"), [(25, False), (26, True)])
def test_a_filter_that_rejects_most_images_is_an_objection(rejected: int, objects: bool) -> None:
    bright = CalibratedFilter("near_duplicate", ("distance",), (0.1,), 60, {"brain": rejected, "femur": 1})
    every, brain, femur = verdicts(replace(FINE, filters=[bright]))
    said = "the filter near duplicate rejects 26 of 50 images"
    assert brain.summary == (said if objects else "no objection found")
    assert (every.summary, femur.summary) == ("no objection found",) * 2


@pytest.mark.parametrize(("auc", "how"), [(1.0, "perfectly (AUC 1.00"), (0.95, "almost always (AUC 0.95")])
def test_a_separating_classifier_is_said_in_plain_words(auc: float, how: str) -> None:
    lines = [replace(line, auc=auc) for line in FINE.shortcuts]
    brain = verdicts(replace(FINE, shortcuts=lines))[1].summary
    assert (
        brain == f"a classifier separates synthetic from real {how}; real against real 0.50; by border alone {auc:.2f})"
    )


def test_a_model_that_fails_on_real_images_gives_no_objections() -> None:
    deaf = replace(FINE.truths[0], agreement=0.1, low=0.0, high=0.2, real_agreement=0.4, real_low=0.3)
    unsure = replace(FINE.truths[0], agreement=0.6, low=0.5, high=0.7, real_n=4, real_agreement=1.0, real_low=0.51)
    for truth in (deaf, unsure):
        assert all(one.summary == "no objection found" for one in verdicts(replace(FINE, truths=[truth])))
