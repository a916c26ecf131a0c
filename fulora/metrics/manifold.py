"""Precision, recall, density and coverage of one set of features against another, and the diversity of a set.

A set's manifold is the union of balls around its rows, each reaching to the row's k-th neighbour in the set
(Kynkaanniemi et al. 2019; Naeem et al. 2020). All four depend on the numbers of rows: compare sets of equal size, and
show what real images against other real ones give.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fulora.metrics.neighbours import Features, nearest, squared_distances


@dataclass(frozen=True)
class Manifold:
    """Shares (0..1; density may exceed 1).

    Attributes:
        precision: of generated rows inside the real manifold.
        recall: of real rows inside the generated manifold.
        density: mean number of real balls that a generated row lies in, over k.
        coverage: of real balls that hold a generated row.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(real: Features, generated: Features, k: int = 5) -> Manifold:
    """The four figures with k neighbours (5 in Naeem et al. 2020).

    Raises:
        ValueError: k rows or fewer in a set.
    """
    if k < 1 or min(len(real), len(generated)) <= k:
        raise ValueError(f"k is {k}: both sets need more rows, and they have {len(real)} and {len(generated)}")
    of_real, of_generated = _radii(real, k), _radii(generated, k)
    inside, balls, covered, recalled = 0, 0, np.zeros(len(real), bool), np.zeros(len(real), bool)
    for _, squared in squared_distances(generated, real):
        within = squared < of_real
        inside += int(within.any(axis=1).sum())
        balls += int(within.sum())
        covered |= within.any(axis=0)
    for rows, squared in squared_distances(real, generated):
        recalled[rows] = (squared < of_generated).any(axis=1)
    return Manifold(
        precision=inside / len(generated),
        recall=float(recalled.mean()),
        density=balls / (k * len(generated)),
        coverage=float(covered.mean()),
    )


def _radii(x: Features, k: int) -> Float[np.ndarray, " n"]:
    """Squared distance of each row to its k-th neighbour, itself left out."""
    own = np.arange(len(x))
    return np.asarray(nearest(x, x, k, apart=[(own, own)])[0][:, -1] ** 2, np.float32)


def vendi_score(features: Features) -> float:
    """The effective number of different rows, 1 to n (Friedman and Dieng 2023), by cosine similarity.

    exp of the entropy of the eigenvalues of K / n; those of X^T X / n are the same, so the cost grows with n d^2. Rows
    of 0, which have no direction, count as alike, and as unlike all others.

    Raises:
        ValueError: no rows.
    """
    if not len(features):
        raise ValueError("the diversity of no rows is not known: give one or more")
    rows = np.column_stack([features.astype(np.float64), ~features.any(axis=1)])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    matrix = unit.T @ unit if unit.shape[0] > unit.shape[1] else unit @ unit.T
    values = np.linalg.eigvalsh(matrix / len(unit))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))
