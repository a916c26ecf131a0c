"""Scores of one classifier in rows: against scikit-learn, and what each row says of itself."""

import numpy as np
import pytest
import sklearn.metrics
from clustered_cohort import COUNTRIES, PATIENTS, SIZES

from fulora.metrics import scorecard as card
from fulora.metrics.classification_metrics import select_metrics
from fulora.metrics.decision_rules import Prior, Rule, decision_rules
from fulora.metrics.image_groups import ALL_IMAGES, ImageGroup
from fulora.metrics.model_predictions import ModelPredictions
from fulora.metrics.statistics import UndefinedScoreError

NAMES = ("abdomen", "brain", "femur", "thorax", "other")
DRAWN = card.Sampling(draws=200)
TRUE = np.concatenate([np.arange(size) for size in SIZES])


def answers(seeds: int = 1, gain: float = 1.5) -> ModelPredictions:
    """Guesses that are better than chance: 450 images of 125 patients; no image shows "other"."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(seeds, len(TRUE), 5)) + gain * np.eye(5)[TRUE]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return ModelPredictions(NAMES, TRUE, probabilities.argmax(axis=2), probabilities, PATIENTS, COUNTRIES, 4)


@pytest.fixture(scope="module")
def rows() -> list[card.ScoreRow]:
    prior = Prior(np.array([0.06, 0.26, 0.08, 0.17, 0.43]), np.full(5, 0.2))
    return card.scorecard(answers(), range(5), prior, DRAWN)


OWN, AMONG = "own decision", "among the labels"


def one(rows: list[card.ScoreRow], name: str, rule: str, group: ImageGroup = ALL_IMAGES) -> card.ScoreRow:
    (found,) = [row for row in rows if (row.quantity, row.group, row.rule) == (name, group, rule)]
    return found


def test_decisions_are_scored_as_scikit_learn_does(rows: list[card.ScoreRow]) -> None:
    given = answers()
    assert given.probabilities is not None
    (four,) = given.probabilities[:, :, :4].argmax(axis=2)
    for rule, decided in ((OWN, given.decided[0]), (AMONG, four)):
        assert one(rows, "accuracy", rule).interval.value == pytest.approx(np.mean(decided == TRUE))
        for average in ("macro", "weighted"):
            expected = sklearn.metrics.precision_recall_fscore_support(TRUE, decided, labels=range(4), average=average)
            recall = "balanced accuracy" if average == "macro" else "weighted recall"
            found = [one(rows, name, rule).interval.value for name in (f"{average} precision", recall, f"{average} F1")]
            assert found == pytest.approx(expected[:3])


def test_probabilities_are_scored_as_scikit_learn_does(rows: list[card.ScoreRow]) -> None:
    (given,) = answers().probabilities
    four = given[:, :4] / given[:, :4].sum(axis=1, keepdims=True)
    auc = sklearn.metrics.roc_auc_score(TRUE, four, multi_class="ovr", average="macro")
    assert one(rows, "macro one-vs-rest AUC", "probabilities among the labels").interval.value == pytest.approx(auc)
    loss = sklearn.metrics.log_loss(TRUE, given, labels=range(5))
    assert one(rows, "log loss", "probabilities").interval.value == pytest.approx(loss)
    brier = sklearn.metrics.brier_score_loss(TRUE, given, labels=range(5), scale_by_half=False)
    assert one(rows, "Brier score", "probabilities").interval.value == pytest.approx(brier)
    assert one(rows, "expected calibration error", "probabilities").labels == NAMES


def test_planes_and_sites_are_scored_by_themselves(rows: list[card.ScoreRow]) -> None:
    decided = answers().decided[0]
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(TRUE, decided, labels=range(4))
    for plane, name in enumerate(NAMES[:4]):
        found = {
            score: one(rows, score, OWN, ImageGroup("class", name)).interval for score in ("precision", "recall", "F1")
        }
        expected = {"precision": precision[plane], "recall": recall[plane], "F1": f1[plane]}
        assert {score: interval.value for score, interval in found.items()} == pytest.approx(expected)
        assert found["recall"].n == support[plane]
        assert found["precision"].n == 450
    ghana = COUNTRIES == "GHA"
    row = one(rows, "macro F1", OWN, ImageGroup("site", "GHA"))
    assert row.labels == NAMES[:3]  # Ghana has no thorax
    assert (row.interval.n, row.interval.clusters) == (75, 25)
    expected = sklearn.metrics.f1_score(TRUE[ghana], decided[ghana], labels=range(3), average="macro")
    assert row.interval.value == pytest.approx(expected)
    assert one(rows, "accuracy", "prior-adjusted", ImageGroup("site", "GHA")).interval.value == pytest.approx(
        np.mean(rules()[2].decided[0][ghana] == TRUE[ghana])
    )


def rules() -> list[Rule]:
    return decision_rules(answers(), range(4), Prior(np.array([0.06, 0.26, 0.08, 0.17, 0.43]), np.full(5, 0.2)))


def test_every_row_says_what_it_is_made_of(rows: list[card.ScoreRow]) -> None:
    for row in rows:
        assert row.rule
        assert row.labels
        assert 0 < row.interval.clusters <= row.interval.n <= 450
        low, high = row.interval.low, row.interval.high
        assert row.interval.reason or (low is not None and high is not None and low <= row.interval.value <= high)
    places = [
        *(ImageGroup("class", name) for name in NAMES[:4]),
        *(ImageGroup("site", name) for name in np.unique(COUNTRIES)),
    ]
    assert {row.group for row in rows} == {ALL_IMAGES, *places}


RATE = "rate of deciding the negative class"


def test_other_is_counted_where_it_can_be_decided(rows: list[card.ScoreRow]) -> None:
    expected = np.mean(answers().decided[0] == 4)
    assert one(rows, RATE, OWN).interval.value == pytest.approx(expected)
    assert not [row for row in rows if row.quantity == RATE and row.rule == AMONG]
    never = Prior(np.full(5, 0.2), np.array([0.25, 0.25, 0.25, 0.25, 0.0]))
    found = card.scorecard(answers(), range(5), never, DRAWN)
    adjusted = one(found, "accuracy", "prior-adjusted").interval.value
    assert adjusted == one(found, "accuracy", AMONG).interval.value
    assert [row.rule for row in found if row.quantity == RATE] == [OWN]


def test_the_rejection_of_other_is_its_auroc() -> None:
    given = answers()
    true = np.where(PATIENTS % 5 == 0, 4, TRUE)
    shifted = ModelPredictions(NAMES, true, given.decided, given.probabilities, PATIENTS, COUNTRIES, 4)
    rows = card.scorecard(shifted, range(4), None, DRAWN)
    row = one(rows, "AUROC of rejecting the negative class", "probabilities")
    expected = sklearn.metrics.roc_auc_score(true == 4, given.probabilities[0, :, 4])
    assert row.interval.value == pytest.approx(expected)
    assert row.interval.n == 450
    accuracy = one(rows, "accuracy", OWN).interval
    assert accuracy.n == int((true != 4).sum())
    assert accuracy.value == pytest.approx(np.mean((given.decided[0] == true)[true != 4]))


def test_seeds_are_averaged_and_widen_the_interval() -> None:
    many = answers(seeds=3)
    rows = card.scorecard(many, range(5), None, DRAWN)
    assert one(rows, "accuracy", OWN).interval.value == pytest.approx(np.mean(many.decided == TRUE))
    f1 = [sklearn.metrics.f1_score(TRUE, seed, labels=range(4), average="macro") for seed in many.decided]
    assert one(rows, "macro F1", OWN).interval.value == pytest.approx(np.mean(f1))


def test_hard_decisions_have_no_scores_of_probabilities() -> None:
    given = answers()
    hard = ModelPredictions(NAMES, TRUE, given.decided, None, PATIENTS, COUNTRIES)
    rows = card.scorecard(hard, range(5), None, DRAWN)
    assert {row.rule for row in rows} == {OWN}
    assert not {row.quantity for row in rows} & {
        "log loss",
        "macro one-vs-rest AUC",
        "AUROC of rejecting the negative class",
    }


def test_without_doubt_there_is_no_interval_but_a_bound_for_shares() -> None:
    perfect = ModelPredictions(NAMES, TRUE, TRUE[None], np.eye(5)[TRUE][None], PATIENTS, COUNTRIES)
    rows = card.scorecard(perfect, range(5), None, DRAWN)
    accuracy = one(rows, "accuracy", OWN).interval
    assert accuracy.low == pytest.approx(0.025 ** (1 / (450**2 / np.sum(SIZES**2))))
    assert accuracy.high == 1.0
    assert "Clopper-Pearson" in accuracy.reason
    f1 = one(rows, "macro F1", OWN).interval
    assert (f1.value, f1.low, f1.high) == (1.0, None, None)
    assert f1.reason == "no interval: every draw gives the same value"


def test_legacy_scores_say_that_they_are_wrong() -> None:
    rows = card.legacy_scores(answers(), range(4))
    assert len(rows) == 10
    assert sum("wrong" in row.quantity for row in rows) == 5
    mean = np.mean([row.interval.value for row in rows[1:5]])
    assert rows[0].interval.value == pytest.approx(mean)
    assert {row.interval.reason for row in rows} == {"only to compare with the published table"}


def test_a_score_without_value_is_named() -> None:
    with pytest.raises(UndefinedScoreError, match="NaN on the data themselves"):
        card.decision_scores(answers(), rules()[0], range(5), DRAWN, select_metrics().computed)


def test_cohens_kappa_is_scikit_learns_and_off_by_default() -> None:
    given = answers(seeds=2)
    rows = card.scorecard(given, range(5), None, DRAWN, select_metrics(["Cohen's kappa"]))
    expected = [sklearn.metrics.cohen_kappa_score(TRUE, seed) for seed in given.decided]
    assert one(rows, "Cohen's kappa", OWN).interval.value == pytest.approx(np.mean(expected))
    assert one(rows, "Cohen's kappa", OWN).labels == NAMES
    ghana = COUNTRIES == "GHA"
    there = [sklearn.metrics.cohen_kappa_score(TRUE[ghana], seed[ghana]) for seed in given.decided]
    assert one(rows, "Cohen's kappa", OWN, ImageGroup("site", "GHA")).interval.value == pytest.approx(np.mean(there))
    assert "Cohen's kappa" not in {row.quantity for row in card.scorecard(given, range(5), None, DRAWN)}


def test_without_a_negative_class_there_are_no_rejection_scores() -> None:
    given = answers()
    plain = ModelPredictions(NAMES, TRUE, given.decided, given.probabilities, PATIENTS, COUNTRIES)
    rows = card.scorecard(plain, range(5), None, DRAWN)
    assert not [row for row in rows if "negative" in row.quantity]
