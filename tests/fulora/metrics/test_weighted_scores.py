"""Scores of many weightings against scikit-learn's sample weights, draw by draw."""

import numpy as np
import pytest
import sklearn.metrics
from sklearn.calibration import calibration_curve

from fulora.metrics import weighted_scores as w

LABELS = [0, 1, 2, 3]


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """True classes 0..3, predictions 0..4, coarse probabilities with ties, and weights as a bootstrap gives them."""
    rng = np.random.default_rng(3)
    true = rng.integers(0, 4, 120)
    logits = rng.normal(size=(120, 5)) + 1.2 * np.eye(5)[true]
    probabilities = np.exp(np.round(logits, 1))
    probabilities /= probabilities.sum(1, keepdims=True)
    return true, probabilities.argmax(1), probabilities, rng.poisson(1.0, (20, 120)).astype(float)


def test_mean_equals_numpys_average(scored: tuple) -> None:
    true, predicted, _, weights = scored
    expected = [np.average(true == predicted, weights=row) for row in weights]
    assert w.mean(true == predicted, weights) == pytest.approx(expected)


def test_tallies_equal_scikit_learn(scored: tuple) -> None:
    true, predicted, _, weights = scored
    found = w.tallies(true, predicted, LABELS, weights)
    for draw, row in enumerate(weights):
        precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
            true, predicted, labels=LABELS, sample_weight=row
        )
        assert found.precision[draw] == pytest.approx(precision)
        assert found.recall[draw] == pytest.approx(recall)
        assert found.f1[draw] == pytest.approx(f1)
        assert found.weighted(found.f1)[draw] == pytest.approx(np.average(f1, weights=support))


def test_auc_equals_scikit_learn_with_and_without_ties(scored: tuple) -> None:
    true, _, probabilities, weights = scored
    for scores in (probabilities[:, 2], probabilities[:, 2] + np.linspace(0, 1e-6, len(true))):
        expected = [sklearn.metrics.roc_auc_score(true == 2, scores, sample_weight=row) for row in weights]
        assert w.auc(true == 2, scores, weights) == pytest.approx(expected)


def by_bin(right: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scikit-learn's calibration curve of 15 bins, and the number of images of each bin that has any."""
    counts = np.histogram(-confidence, np.linspace(-1, 0, 16))[0][::-1]
    return *calibration_curve(right, confidence, n_bins=15), counts[counts > 0]


def test_weights_mean_repeated_images(scored: tuple) -> None:
    true, _, probabilities, weights = scored
    for row, auc, error in zip(
        weights,
        w.macro_auc(true, probabilities, LABELS, weights),
        w.calibration_error(true, probabilities, weights),
        strict=True,
    ):
        images = np.repeat(np.arange(len(true)), row.astype(int))
        by_label = [sklearn.metrics.roc_auc_score(true[images] == k, probabilities[images, k]) for k in LABELS]
        assert auc == pytest.approx(np.mean(by_label))
        right = (probabilities.argmax(1) == true)[images]
        hits, confidence, counts = by_bin(right, probabilities.max(1)[images])
        assert error == pytest.approx(np.average(np.abs(hits - confidence), weights=counts))


def test_a_draw_without_what_a_score_needs_has_no_value() -> None:
    true, predicted = np.array([0, 1, 1]), np.array([0, 0, 0])
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    found = w.tallies(true, predicted, [0, 1], weights)
    assert found.precision[0].tolist() == [1 / 3, 0.0]  # never predicted counts as 0
    for scores in (found.precision, found.recall, found.f1):
        assert np.isnan(scores[1:, 0]).all()
        assert scores[1, 1] == 0
    assert np.isnan(w.auc(true == 0, np.array([0.1, 0.2, 0.3]), weights)).tolist() == [False, True, True]
    assert np.isnan(w.mean(true == 0, weights)).tolist() == [False, False, True]
