"""Two classifiers on the same images: differences, tests, and their order of subtraction."""

import numpy as np
import pytest
from clustered_cohort import COUNTRIES, PATIENTS, SIZES

from fulora.metrics.answers import Answers, Prior
from fulora.metrics.comparison import ComparisonRow, compare
from fulora.metrics.paired_tests import clustered_mcnemar, holm
from fulora.metrics.scorecard import Sampling, scorecard
from fulora.metrics.statistics import sign_flip_test

NAMES = ("abdomen", "brain", "femur", "thorax", "other")
DRAWN = Sampling(draws=200)
TRUE = np.concatenate([np.arange(size) for size in SIZES])


def answers(gain: float, seed: int, seeds: int = 1) -> Answers:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(seeds, len(TRUE), 5)) + gain * np.eye(5)[TRUE]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return Answers(NAMES, TRUE, probabilities.argmax(axis=2), probabilities, PATIENTS, COUNTRIES)


GOOD, POOR = answers(2.0, 1), answers(1.4, 2)


@pytest.fixture(scope="module")
def rows() -> list[ComparisonRow]:
    return compare(GOOD, POOR, range(5), None, DRAWN)


def test_differences_are_ours_minus_the_other(rows: list[ComparisonRow]) -> None:
    ours, other = (
        {
            (row.name, row.rule): row.interval.value
            for row in scorecard(model, range(5), None, DRAWN)
            if row.group == "all"
        }
        for model in (GOOD, POOR)
    )
    everywhere = [row for row in rows if row.group == "all"]
    assert len(everywhere) == 6
    for row in everywhere:
        key = (row.name, row.rule)
        assert row.difference.value == pytest.approx(ours[key] - other[key])
        assert row.difference.n == 450
        assert row.difference.low < row.difference.value < row.difference.high
        assert row.p < 0.05
        assert (row.mcnemar is not None) == (row.detectable is not None) == (row.name == "accuracy")


def test_tests_are_those_of_the_right_and_wrong_answers(rows: list[ComparisonRow]) -> None:
    ours, other = (model.decided[0] == TRUE for model in (GOOD, POOR))
    first = rows[0]
    assert (first.name, first.rule) == ("accuracy", "5-way, own decision")
    assert first.mcnemar == clustered_mcnemar(other, ours, PATIENTS)
    assert first.mcnemar.difference == pytest.approx(first.difference.value)
    assert first.p == sign_flip_test(other, ours, PATIENTS, seed=0)


def test_sites_are_adjusted_by_holm(rows: list[ComparisonRow]) -> None:
    sites = [row for row in rows if row.group.startswith("site ")]
    assert [row.group for row in sites] == [f"site {name}" for name in ("DZA", "EGY", "GHA", "MWI", "UGA")]
    assert [row.p_holm for row in sites] == pytest.approx(holm([row.p for row in sites]))
    assert sites[2].labels == NAMES[:3]
    assert all(row.p_holm is None for row in rows if row.group == "all")


def test_the_same_answers_differ_by_nothing_and_are_bounded() -> None:
    rows = compare(GOOD, GOOD, range(5), None, DRAWN)
    assert {row.difference.value for row in rows} == {0.0}
    assert {row.p for row in rows} == {1.0}
    assert rows[0].difference.low == pytest.approx(-rows[0].difference.high)
    assert 0 < rows[0].difference.high < 0.05
    assert "Clopper-Pearson" in rows[0].difference.reason
    assert "no interval" in rows[1].difference.reason


def test_without_probabilities_own_decisions_are_compared() -> None:
    hard = Answers(NAMES, TRUE, POOR.decided, None, PATIENTS, COUNTRIES)
    rows = compare(GOOD, hard, range(5), Prior(np.full(5, 0.2), np.full(5, 0.2)), DRAWN)
    assert {row.rule for row in rows} == {"5-way, own decision"}
    assert {row.name for row in rows} == {"accuracy", "macro F1"}


def test_seeds_are_paired() -> None:
    ours, other = answers(2.0, 1, seeds=2), answers(1.4, 2, seeds=2)
    rows = compare(ours, other, range(5), None, Sampling(draws=100, permutations=199))
    expected = np.mean(ours.decided == TRUE) - np.mean(other.decided == TRUE)
    assert rows[0].difference.value == pytest.approx(expected)


def test_a_site_of_one_patient_has_no_test() -> None:
    alone = np.where(PATIENTS == 0, "ZZZ", COUNTRIES)
    models = [Answers(NAMES, TRUE, m.decided, None, PATIENTS, alone) for m in (GOOD, POOR)]
    row = compare(*models, range(5), None, DRAWN)[-1]
    assert (row.group, row.p, row.p_holm, row.mcnemar, row.detectable) == ("site ZZZ", None, None, None, None)
    assert row.difference.reason == "no interval: a single patient"


def test_other_images_or_classes_are_named() -> None:
    with pytest.raises(ValueError, match="different true classes"):
        compare(GOOD, Answers(NAMES, TRUE[::-1], POOR.decided, None, PATIENTS, COUNTRIES), range(5), None, DRAWN)
    with pytest.raises(ValueError, match="different patients"):
        compare(GOOD, Answers(NAMES, TRUE, POOR.decided, None, PATIENTS + 1, COUNTRIES), range(5), None, DRAWN)
    with pytest.raises(ValueError, match="different sites"):
        compare(GOOD, Answers(NAMES, TRUE, POOR.decided, None, PATIENTS, COUNTRIES[::-1]), range(5), None, DRAWN)
    with pytest.raises(ValueError, match=r"1 seeds of classes .* cannot be paired with 2"):
        compare(GOOD, answers(1.4, 2, seeds=2), range(5), None, DRAWN)
