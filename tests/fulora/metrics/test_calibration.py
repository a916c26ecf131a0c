"""Log loss, Brier score and calibration error against scikit-learn and by hand."""

import jaxtyping
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from fulora.metrics import calibration as c


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    true = rng.integers(0, 5, 200)
    return true, rng.dirichlet(np.ones(5), 200)


def test_log_loss_equals_scikit_learn(scored: tuple) -> None:
    true, probabilities = scored
    expected = sklearn.metrics.log_loss(true, probabilities, labels=range(5))
    assert c.log_losses(true, probabilities).mean() == pytest.approx(expected)


def test_a_probability_of_0_costs_much_but_not_everything() -> None:
    assert c.log_losses(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(34.5388, abs=1e-3)


def test_brier_score_equals_scikit_learn(scored: tuple) -> None:
    true, probabilities = scored
    expected = sklearn.metrics.brier_score_loss(true, probabilities, labels=range(5), scale_by_half=False)
    assert c.brier_scores(true, probabilities).mean() == pytest.approx(expected)


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
    true, probabilities = scored
    with pytest.raises(ValueError, match="bins is 0"):
        c.expected_calibration_error(true, probabilities, 0)
    for score in (c.log_losses, c.brier_scores):
        with pytest.raises(ValueError, match="got 3 true and 200 rows"):
            score(true[:3], probabilities)
