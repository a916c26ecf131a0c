"""Two classifiers on the same images: differences, tests, and their order of subtraction."""

import numpy as np
import pytest
from clustered_cohort import COUNTRIES, PATIENTS, SIZES
from scipy import stats
from sklearn.metrics import cohen_kappa_score, log_loss

from fulora.metrics.classification_metrics import select_metrics
from fulora.metrics.comparison import ComparisonRow, compare
from fulora.metrics.decision_rules import Prior
from fulora.metrics.image_groups import ALL_IMAGES, ImageGroup
from fulora.metrics.model_predictions import ModelPredictions
from fulora.metrics.paired_tests import clustered_mcnemar, holm
from fulora.metrics.scorecard import Sampling, scorecard
from fulora.metrics.statistics import sign_flip_test

NAMES = ("abdomen", "brain", "femur", "thorax", "other")
DRAWN = Sampling(draws=200)
TRUE = np.concatenate([np.arange(size) for size in SIZES])


def answers(gain: float, seed: int, seeds: int = 1) -> ModelPredictions:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(seeds, len(TRUE), 5)) + gain * np.eye(5)[TRUE]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return ModelPredictions(NAMES, TRUE, probabilities.argmax(axis=2), probabilities, PATIENTS, COUNTRIES)


METRICS = select_metrics(["accuracy", "macro F1", "macro one-vs-rest AUC", "log loss"]).compared
GOOD, POOR = answers(2.0, 1), answers(1.4, 2)


@pytest.fixture(scope="module")
def rows() -> list[ComparisonRow]:
    return compare(GOOD, POOR, range(5), None, DRAWN, METRICS)


def test_differences_are_the_first_minus_the_second(rows: list[ComparisonRow]) -> None:
    ours, other = (
        {
            (row.quantity, row.rule): row.interval.value
            for row in scorecard(model, range(5), None, DRAWN)
            if row.group == ALL_IMAGES
        }
        for model in (GOOD, POOR)
    )
    everywhere = [row for row in rows if row.group == ALL_IMAGES]
    assert len(everywhere) == 6
    for row in everywhere:
        key = (row.quantity, row.rule)
        assert row.difference.value == pytest.approx(ours[key] - other[key])
        assert row.difference.n == 450
        assert row.difference.low < row.difference.value < row.difference.high
        assert row.p < 0.05
        assert (row.mcnemar is not None) == (row.detectable is not None) == (row.quantity == "accuracy")


def test_tests_are_those_of_the_right_and_wrong_answers(rows: list[ComparisonRow]) -> None:
    ours, other = (model.decided[0] == TRUE for model in (GOOD, POOR))
    first = rows[0]
    assert (first.quantity, first.rule, first.choices) == ("accuracy", "own decision", 5)
    assert first.mcnemar == clustered_mcnemar(other, ours, PATIENTS)
    assert first.mcnemar.difference == pytest.approx(first.difference.value)
    assert first.p == sign_flip_test(other, ours, PATIENTS, seed=0)


@pytest.mark.slow
def test_sites_are_adjusted_by_holm(rows: list[ComparisonRow]) -> None:
    sites = [row for row in rows if row.group.kind == "site"]
    assert [row.group for row in sites] == [ImageGroup("site", name) for name in ("DZA", "EGY", "GHA", "MWI", "UGA")]
    assert [row.p_holm for row in sites] == pytest.approx(holm([row.p for row in sites]))
    assert sites[2].labels == NAMES[:3]
    assert all(row.p_holm is None for row in rows if row.group == ALL_IMAGES)


@pytest.mark.slow
def test_the_same_answers_differ_by_nothing_and_are_bounded() -> None:
    rows = compare(GOOD, GOOD, range(5), None, DRAWN)
    assert {row.difference.value for row in rows} == {0.0}
    assert {row.p for row in rows} == {1.0}
    assert rows[0].difference.low == pytest.approx(-rows[0].difference.high)
    assert 0 < rows[0].difference.high < 0.05
    assert "Clopper-Pearson" in rows[0].difference.reason
    assert "no interval" in rows[1].difference.reason


def test_without_probabilities_own_decisions_are_compared() -> None:
    hard = ModelPredictions(NAMES, TRUE, POOR.decided, None, PATIENTS, COUNTRIES)
    rows = compare(GOOD, hard, range(5), Prior(np.full(5, 0.2), np.full(5, 0.2)), DRAWN)
    assert {row.rule for row in rows} == {"own decision"}
    assert {row.quantity for row in rows} == {"accuracy", "macro F1"}


def test_seeds_are_paired() -> None:
    ours, other = answers(2.0, 1, seeds=2), answers(1.4, 2, seeds=2)
    rows = compare(ours, other, range(5), None, Sampling(draws=100, permutations=199))
    expected = np.mean(ours.decided == TRUE) - np.mean(other.decided == TRUE)
    assert rows[0].difference.value == pytest.approx(expected)


def test_a_site_of_one_patient_has_no_test() -> None:
    alone = np.where(PATIENTS == 0, "ZZZ", COUNTRIES)
    models = [ModelPredictions(NAMES, TRUE, m.decided, None, PATIENTS, alone) for m in (GOOD, POOR)]
    row = compare(*models, range(5), None, DRAWN)[-1]
    assert (row.group, row.p, row.p_holm, row.mcnemar, row.detectable) == (
        ImageGroup("site", "ZZZ"),
        None,
        None,
        None,
        None,
    )
    assert row.difference.reason == "no interval: a single patient"


def test_other_images_or_classes_are_named() -> None:
    with pytest.raises(ValueError, match="different true classes"):
        compare(
            GOOD, ModelPredictions(NAMES, TRUE[::-1], POOR.decided, None, PATIENTS, COUNTRIES), range(5), None, DRAWN
        )
    with pytest.raises(ValueError, match="different patients"):
        compare(GOOD, ModelPredictions(NAMES, TRUE, POOR.decided, None, PATIENTS + 1, COUNTRIES), range(5), None, DRAWN)
    with pytest.raises(ValueError, match="different sites"):
        compare(
            GOOD, ModelPredictions(NAMES, TRUE, POOR.decided, None, PATIENTS, COUNTRIES[::-1]), range(5), None, DRAWN
        )
    with pytest.raises(ValueError, match=r"1 seeds of classes .* cannot be paired with 2"):
        compare(GOOD, answers(1.4, 2, seeds=2), range(5), None, DRAWN)


def test_any_metric_is_compared_the_first_one_by_site_and_over_seeds() -> None:
    ours, other = answers(2.0, 1, seeds=3), answers(1.4, 2, seeds=3)
    asked = select_metrics(["Cohen's kappa", "Brier score"]).compared
    rows = compare(ours, other, range(5), None, Sampling(draws=100, permutations=199), asked)
    kappa, *others = rows
    values = [[cohen_kappa_score(TRUE, seed) for seed in model.decided] for model in (ours, other)]
    gains = np.subtract(*values)
    assert kappa.difference.value == pytest.approx(gains.mean())
    assert (kappa.quantity, kappa.test, kappa.mcnemar) == ("Cohen's kappa", "swap", None)
    assert kappa.p_seeds == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)
    assert [row.quantity for row in others if row.group == ALL_IMAGES] == ["Cohen's kappa", "Brier score"]
    assert {row.quantity for row in others if row.group.kind == "site"} == {"Cohen's kappa"}
    assert all(row.p_seeds is None for row in others)


def test_a_metric_of_probabilities_that_comes_first_has_its_test_over_seeds() -> None:
    ours, other = answers(2.0, 1, seeds=3), answers(1.4, 2, seeds=3)
    asked = select_metrics(["log loss", "accuracy"]).compared
    rows = compare(ours, other, range(5), None, Sampling(draws=100, permutations=199), asked)
    (loss,) = [row for row in rows if row.quantity == "log loss"]
    values = [[log_loss(TRUE, seed, labels=range(5)) for seed in model.probabilities] for model in (ours, other)]
    assert loss.p_seeds == pytest.approx(stats.ttest_1samp(np.subtract(*values), 0).pvalue)
    assert {row.group.kind for row in rows} == {"all"}
