"""Classification scores against scikit-learn, and the traps they avoid."""

import jaxtyping
import numpy as np
import pytest
import sklearn.metrics
from scipy import stats

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


def test_macro_f1_equals_scikit_learn_for_the_same_labels(scored: tuple) -> None:
    true, predicted, _ = scored
    expected = sklearn.metrics.f1_score(true, predicted, labels=LABELS, average="macro")
    assert c.macro_f1(true, predicted, LABELS) == pytest.approx(expected)


def test_macro_f1_does_not_average_a_class_that_is_only_predicted() -> None:
    true, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 4])
    assert sklearn.metrics.f1_score(true, predicted, average="macro") == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert c.macro_f1(true, predicted, [0, 1]) == pytest.approx((1 + 2 / 3) / 2)


def test_a_label_without_images_is_named(scored: tuple) -> None:
    true, predicted, _ = scored
    with pytest.raises(UndefinedScoreError, match=r"no image truly shows class\(es\) \[4\]"):
        c.macro_f1(true, predicted, range(5))


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


def test_the_prior_is_adjusted_by_bayes_rule() -> None:
    """Two Gaussian classes: under another prior the posterior is what the likelihoods give."""
    x = np.linspace(-3, 3, 50)
    likelihood = np.stack([stats.norm.pdf(x, -1), stats.norm.pdf(x, 1)], axis=1)

    def posterior(prior: np.ndarray) -> np.ndarray:
        joint = likelihood * prior
        return joint / joint.sum(axis=1, keepdims=True)

    trained, used = np.array([0.9, 0.1]), np.array([0.3, 0.7])
    np.testing.assert_allclose(c.prior_adjusted(posterior(trained), trained, used), posterior(used))
    np.testing.assert_allclose(c.prior_adjusted(posterior(trained), trained, trained), posterior(trained))


def test_a_target_prior_of_0_restricts(scored: tuple) -> None:
    _, _, probabilities = scored
    flat, four = np.full(5, 0.2), np.array([0.25, 0.25, 0.25, 0.25, 0.0])
    np.testing.assert_allclose(c.prior_adjusted(probabilities, flat, four), c.restricted(probabilities, LABELS))


@pytest.mark.parametrize(
    ("training", "target", "said"),
    [
        ([0.5, 0.5, 0.0], [0.2, 0.4, 0.4], "training prior is .* each above 0"),
        ([0.5, 0.5], [0.2, 0.8], "training prior is .* one share for each of 3 classes"),
        ([0.2, 0.4, 0.4], [0.9, 0.9, -0.8], "target prior is .* each 0 or more"),
        ([0.2, 0.4, 0.4], [0.2, 0.2, 0.2], "target prior is .* adding up to 1"),
    ],
)
def test_a_prior_that_is_none_is_named(
    training: list[float], target: list[float], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks speak first
    with pytest.raises(ValueError, match=said):
        c.prior_adjusted(np.full((2, 3), 1 / 3), np.array(training), np.array(target))


def test_an_image_without_mass_under_the_target_prior_is_named() -> None:
    with pytest.raises(UndefinedScoreError, match=r"1 image\(s\) have no probability on any class of .* row 1"):
        c.prior_adjusted(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0.5, 0.5]), np.array([1.0, 0.0]))


def test_bad_input_is_named(scored: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks speak first
    true, predicted, probabilities = scored
    with pytest.raises(ValueError, match="got 200 true and 3 predicted"):
        c.macro_f1(true, predicted[:3], LABELS)
    with pytest.raises(ValueError, match="got 3 true and 200 rows"):
        c.check_probabilities(true[:3], probabilities)
    with pytest.raises(ValueError, match="at least one class and none twice"):
        c.macro_f1(true, predicted, [0, 0])
    with pytest.raises(ValueError, match=r"do not all lie in 0\.\.4"):
        c.restricted(probabilities, [0, 7])
    with pytest.raises(ValueError, match="pass soft-max outputs, not logits"):
        c.check_probabilities(true, probabilities * 3)
    with pytest.raises(ValueError, match="row 0 of probabilities is"):
        c.restricted(probabilities * np.nan, LABELS)
