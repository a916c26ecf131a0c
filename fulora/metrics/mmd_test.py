"""Whether two sets of features could be of one distribution: a permutation test of the polynomial MMD²."""

import numpy as np
from jaxtyping import Float

from fulora.metrics.fidelity import Features, Sample, polynomial_kernel

MOST = 500
"""Rows used of a set; the cost grows with their square."""


def mmd_test(x: Sample, y: Sample, *, draws: int = 999, seed: int = 0) -> float:
    """p of an MMD² (kernel (x.y / d + 1)^3, as KID's) as large as this or larger, were the rows exchangeable.

    One row of each group (a patient, or a synthetic image) is drawn, at most 500 a set, because images of a patient are
    alike and would count as if they were several. p = (1 + hits) / (draws + 1) (Gretton et al. 2012, section 4.2;
    Phipson and Smyth 2010).

    Raises:
        ValueError: if a set has fewer than two groups.
    """
    rng = np.random.default_rng(seed)
    first, second = (_one_each(sample, rng) for sample in (x, y))
    pooled = np.concatenate([first, second]).astype(np.float64)
    kernel = polynomial_kernel(pooled, pooled)
    np.fill_diagonal(kernel, 0)
    sides = np.arange(len(pooled)) < len(first)
    drawn = np.array([sides, *(rng.permutation(sides) for _ in range(draws))]).astype(np.float64)
    values = _mmd2(kernel, drawn)
    hits = int((values[1:] >= values[0] - 1e-12).sum())
    return (1 + hits) / (draws + 1)


def _one_each(sample: Sample, rng: np.random.Generator) -> Features:
    order = rng.permutation(len(sample.groups))
    names, first = np.unique(sample.groups[order], return_index=True)
    if len(names) < 2:
        raise ValueError(f"{len(order)} rows of {len(names)} groups: the test needs two groups or more")
    return np.asarray(sample.features[rng.permutation(order[first])[:MOST]])


def _mmd2(kernel: Float[np.ndarray, "n n"], sides: Float[np.ndarray, "draws n"]) -> Float[np.ndarray, " draws"]:
    """Of every division of the rows, one a line: 1 on the first side, 0 on the second."""
    other = 1 - sides
    n, m = sides[0].sum(), other[0].sum()
    of_first, of_second = sides @ kernel, other @ kernel
    within = (of_first * sides).sum(axis=1) / (n * (n - 1)) + (of_second * other).sum(axis=1) / (m * (m - 1))
    return np.asarray(within - 2 * (of_first * other).sum(axis=1) / (n * m))
