"""Whether two sets of features could be of one distribution: a permutation test of the polynomial MMD²."""

import numpy as np
from jaxtyping import Float, Shaped

from fulora.metrics.fidelity import polynomial_kernel
from fulora.metrics.neighbours import Features

MOST = 500
"""Rows of a set that are looked at; the cost grows with their square."""


def mmd_test(
    x: Features,
    y: Features,
    groups_x: Shaped[np.ndarray, " _"],
    groups_y: Shaped[np.ndarray, " _"],
    *,
    draws: int = 999,
    seed: int = 0,
) -> float:
    """p of an MMD² (kernel (x.y / d + 1)^3, as KID's) as large as this or larger, were the rows exchangeable.

    One row of each group (a patient, or a synthetic image) is drawn, at most 500 a set, because images of a patient are
    alike and would count as if they were several. p = (1 + hits) / (draws + 1) (Gretton et al. 2012, section 4.2;
    Phipson and Smyth 2010).

    Raises:
        ValueError: fewer than two groups in a set, or not one group a row.
    """
    rng = np.random.default_rng(seed)
    first, second = (_one_each(rows, groups, rng) for rows, groups in ((x, groups_x), (y, groups_y)))
    pooled = np.concatenate([first, second]).astype(np.float64)
    kernel = polynomial_kernel(pooled, pooled)
    np.fill_diagonal(kernel, 0)
    sides = np.arange(len(pooled)) < len(first)
    drawn = np.array([sides, *(rng.permutation(sides) for _ in range(draws))]).astype(np.float64)
    found = _mmd2(kernel, drawn)
    hits = int((found[1:] >= found[0] - 1e-12).sum())
    return (1 + hits) / (draws + 1)


def _one_each(rows: Features, groups: Shaped[np.ndarray, " _"], rng: np.random.Generator) -> Float[np.ndarray, "_ d"]:
    if len(groups) != len(rows) or len(set(groups.tolist())) < 2:
        raise ValueError(
            f"{len(rows)} rows, {len(groups)} groups of {len(set(groups.tolist()))}: one a row, two at least"
        )
    order = rng.permutation(len(rows))
    _, first = np.unique(groups[order], return_index=True)
    return np.asarray(rows[rng.permutation(order[first])[:MOST]])


def _mmd2(kernel: Float[np.ndarray, "n n"], sides: Float[np.ndarray, "draws n"]) -> Float[np.ndarray, " draws"]:
    """Of every division of the rows, one a line: 1 on the first side, 0 on the second."""
    other = 1 - sides
    n, m = sides[0].sum(), other[0].sum()
    of_first, of_second = sides @ kernel, other @ kernel
    within = (of_first * sides).sum(axis=1) / (n * (n - 1)) + (of_second * other).sum(axis=1) / (m * (m - 1))
    return np.asarray(within - 2 * (of_first * other).sum(axis=1) / (n * m))
