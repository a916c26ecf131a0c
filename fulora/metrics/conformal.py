"""Thresholds that reject a stated share of what they should let pass, by the ranks of held-out scores alone."""

import numpy as np
from jaxtyping import Float


def lower_threshold(scores: Float[np.ndarray, " n"], rate: float) -> float:
    """The score below which a further one of the same kind falls with a probability of `rate` at most.

    The k-th smallest of n, with k = floor(rate (n + 1)): if n + 1 scores are exchangeable, the last is below it with
    probability (k - 1) / (n + 1) to k / (n + 1) (split conformal prediction; Vovk et al. 2005). -inf where k is 0: n is
    too small for the rate, and nothing may be rejected.

    Raises:
        ValueError: a rate that is not between 0 and 1, or scores that are not numbers.
    """
    if not 0 < rate < 1 or np.isnan(scores).any():
        raise ValueError(f"rate is {rate} and {int(np.isnan(scores).sum())} of {len(scores)} scores are no numbers")
    rank = int(np.floor(rate * (len(scores) + 1) + 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank else float("-inf")
