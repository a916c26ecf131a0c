"""Classification scores against scikit-learn, and the traps they avoid."""

import jaxtyping
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from fulora.metrics import classification as c
from fulora.metrics.statistics import UndefinedScoreError

LABELS = [0, 1, 2, 3]


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True classes 0..3, predictions 0..4 (4 = other) and coarse probabilities, so that ties occur."""
    rng = np.random.default_rng(3)
    true = rng.integers(0, 4, 200)
    logits = rng.normal(size=(200, 5)) + 1.2 * np.eye(5)[true]
    probabilities = np.exp(np.round(logits, 1))
    probabilities /= probabilities.sum(1, keepdims=True)
    return true, probabilities.argmax(1), probabilities


def test_confusion_matrix_counts_every_image(scored: tuple) -> None:
    true, predicted, _ = scored
    matrix = c.confusion_matrix(true, predicted, range(5))
    assert matrix.sum() == 200
    assert matrix[2, 4] == np.sum((true == 2) & (predicted == 4))


def test_confusion_matrix_refuses_to_drop_images(scored: tuple) -> None:
    true, predicted, _ = scored
    with pytest.raises(ValueError, match=r"class\(es\) \[4\] occur outside labels \[0, 1, 2, 3\]"):
        c.confusion_matrix(true, predicted, LABELS)


def test_accuracy(scored: tuple) -> None:
    true, predicted, _ = scored
    assert c.accuracy(true, predicted) == pytest.approx(sklearn.metrics.accuracy_score(true, predicted))


def test_macro_f1_equals_scikit_learn_for_the_same_labels(scored: tuple) -> None:
    true, predicted, _ = scored
    expected = sklearn.metrics.f1_score(true, predicted, labels=LABELS, average="macro")
    assert c.macro_f1(true, predicted, LABELS) == pytest.approx(expected)


def test_macro_f1_does_not_average_a_class_that_is_only_predicted() -> None:
    true, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 4])
    assert sklearn.metrics.f1_score(true, predicted, average="macro") == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert c.macro_f1(true, predicted, [0, 1]) == pytest.approx((1 + 2 / 3) / 2)


def test_per_class_equals_scikit_learn(scored: tuple) -> None:
    true, predicted, _ = scored
    report = sklearn.metrics.classification_report(true, predicted, labels=LABELS, output_dict=True)
    for score in c.per_class(true, predicted, LABELS):
        expected = report[str(score.label)]
        assert score.precision == pytest.approx(expected["precision"])
        assert score.recall == pytest.approx(expected["recall"])
        assert score.f1 == pytest.approx(expected["f1-score"])
        assert score.support == expected["support"]


def test_per_class_gives_a_never_predicted_class_precision_zero() -> None:
    scores = c.per_class(np.array([0, 1]), np.array([0, 0]), [0, 1])
    assert (scores[1].precision, scores[1].f1, scores[1].support) == (0.0, 0.0, 1)


def test_macro_auc_equals_scikit_learn(scored: tuple) -> None:
    true, _, probabilities = scored
    expected = np.mean([sklearn.metrics.roc_auc_score(true == k, probabilities[:, k]) for k in LABELS])
    assert c.macro_auc(true, probabilities, LABELS) == pytest.approx(expected)
    assert c.macro_auc(true, probabilities.astype(np.float32), LABELS) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("score", [c.macro_f1, c.per_class])
def test_a_label_nobody_shows_is_named(score: object, scored: tuple) -> None:
    true, predicted, _ = scored
    with pytest.raises(UndefinedScoreError, match=r"no image truly shows class\(es\) \[4\]"):
        score(true, predicted, range(5))  # type: ignore[operator]


def test_auc_without_positives_or_negatives_is_named(scored: tuple) -> None:
    true, _, probabilities = scored
    with pytest.raises(UndefinedScoreError, match=r"no image truly shows class\(es\) \[4\]"):
        c.macro_auc(true, probabilities, range(5))
    with pytest.raises(UndefinedScoreError, match="every image shows class 0"):
        c.macro_auc(np.zeros_like(true), probabilities, [0])


def test_restricted_decides_among_the_classes_kept(scored: tuple) -> None:
    _, _, probabilities = scored
    four = c.restricted(probabilities, LABELS)
    assert four.shape == probabilities.shape
    assert (four[:, 4] == 0).all()
    np.testing.assert_allclose(four.sum(1), 1)
    np.testing.assert_array_equal(four.argmax(1), probabilities[:, :4].argmax(1))


def test_restricted_names_images_without_mass() -> None:
    with pytest.raises(UndefinedScoreError, match=r"1 image\(s\) have no probability at all .* row 1"):
        c.restricted(np.array([[0.5, 0.5], [0.0, 1.0]]), [0])


@settings(deadline=None)
@given(st.lists(st.floats(0.5, 1), min_size=1, max_size=30), st.integers(1, 20))
def test_calibration_error_of_certain_hits_is_the_gap(confidences: list[float], bins: int) -> None:
    """If every decision is right, all gaps have one sign, so the error is the mean of 1 - confidence."""
    top = np.array(confidences)
    probabilities = np.stack([top, 1 - top], axis=1)
    error = c.expected_calibration_error(np.zeros(len(top), dtype=int), probabilities, bins)
    assert error == pytest.approx(np.mean(1 - top))


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    error = c.expected_calibration_error(np.array([0, 0, 0, 1]), probabilities, bins=10)
    assert error == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_bad_input_is_named(scored: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks speak first
    true, predicted, probabilities = scored
    with pytest.raises(ValueError, match="got 200 true and 3 predicted"):
        c.accuracy(true, predicted[:3])
    with pytest.raises(ValueError, match="got 3 true and 200 rows"):
        c.macro_auc(true[:3], probabilities, LABELS)
    with pytest.raises(ValueError, match="at least one class and none twice"):
        c.macro_f1(true, predicted, [0, 0])
    with pytest.raises(ValueError, match=r"do not all lie in 0\.\.4"):
        c.restricted(probabilities, [0, 7])
    with pytest.raises(ValueError, match="pass soft-max outputs, not logits"):
        c.macro_auc(true, probabilities * 3, LABELS)
    with pytest.raises(ValueError, match="row 0 of probabilities is"):
        c.restricted(probabilities * np.nan, LABELS)
    with pytest.raises(ValueError, match="bins is 0"):
        c.expected_calibration_error(true, probabilities, 0)
