"""Log loss and Brier score against scikit-learn."""

import jaxtyping
import numpy as np
import pytest
import sklearn.metrics

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


def test_bad_input_is_named(scored: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks speak first
    true, probabilities = scored
    for score in (c.log_losses, c.brier_scores):
        with pytest.raises(ValueError, match="got 3 true and 200 rows"):
            score(true[:3], probabilities)
