"""Thresholds with a given rate of false rejections, from the ranks of held-out scores."""

import numpy as np
from jaxtyping import Float


def lower_threshold(scores: Float[np.ndarray, " n"], rate: float) -> float:
    """Return the score below which a further one of the same distribution falls with probability at most `rate`.

    The k-th smallest of n, with k = floor(rate (n + 1)): if n + 1 scores are exchangeable, the last is below it with
    probability (k - 1) / (n + 1) to k / (n + 1) (split conformal prediction; Vovk et al. 2005). -inf if k is 0: n is
    too small for the rate, and nothing may be rejected.

    Raises:
        ValueError: if the rate is not between 0 and 1, or a score is NaN.
    """
    if not 0 < rate < 1 or np.isnan(scores).any():
        raise ValueError(f"rate is {rate} and {int(np.isnan(scores).sum())} of {len(scores)} scores are NaN")
    rank = int(np.floor(rate * (len(scores) + 1) + 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank else float("-inf")
