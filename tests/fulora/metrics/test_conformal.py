"""Thresholds reject as many as they say, at most."""

import numpy as np
import pytest

from fulora.metrics.conformal import lower_threshold


def test_the_rank_is_exact() -> None:
    scores = np.arange(1.0, 20.0)
    assert lower_threshold(scores, 0.05) == 1.0
    assert lower_threshold(scores, 0.1) == 2.0
    assert lower_threshold(scores[:18], 0.05) == -np.inf
    assert lower_threshold(np.zeros(0), 0.05) == -np.inf


@pytest.mark.slow
@pytest.mark.parametrize("n", [19, 50, 99])
def test_a_further_score_is_rejected_as_often_as_stated_at_most(n: int) -> None:
    """5 %, in 20,000 draws of n + 1 scores: n calibrate, the last is judged."""
    rng = np.random.default_rng(n)
    draws = rng.standard_normal((20_000, n + 1))
    rejected = np.mean([row[-1] < lower_threshold(row[:-1], 0.05) for row in draws])
    k = int(0.05 * (n + 1))
    assert rejected == pytest.approx(k / (n + 1), abs=0.005)
    assert rejected <= 0.055


@pytest.mark.parametrize(("scores", "rate"), [([1.0], 0.0), ([1.0], 1.0), ([np.nan], 0.5)])
def test_what_is_no_rate_or_no_score_is_refused(scores: list[float], rate: float) -> None:
    with pytest.raises(ValueError, match="rate is"):
        lower_threshold(np.array(scores), rate)
