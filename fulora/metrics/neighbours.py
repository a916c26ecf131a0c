"""Nearest rows of one set of features in another, block by block: memory does not grow with the product of both sizes.

Squared distances of a block come from one matrix product in single precision; those of the neighbours that are kept are
computed again from the differences in double precision, so that copies have a distance of 0.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

Features = Float[np.ndarray, "_ d"]

BLOCK = 2**24
"""Distances held at once: 64 MiB."""
SPARE = 4
"""Neighbours looked at beside those wanted, since single precision may order near ones wrongly."""


def nearest(
    x: Features,
    y: Features,
    k: int = 1,
    *,
    apart: Sequence[tuple[Shaped[np.ndarray, " _"], Shaped[np.ndarray, " _"]]] = (),
) -> tuple[Float[np.ndarray, "_ k"], Int[np.ndarray, "_ k"]]:
    """Euclidean distances of the k nearest rows of y from each row of x, in rising order, and their places in y.

    Args:
        apart: groups of the rows of x and of y, such as patients; rows of the same group are no neighbours.

    Raises:
        ValueError: fewer than k rows of y that may be neighbours of a row of x.
    """
    if not 1 <= k <= len(y):
        raise ValueError(f"k is {k}: it must be 1 to {len(y)}, the rows to choose from")
    distances, places = np.empty((len(x), k)), np.empty((len(x), k), np.int64)
    kept = min(len(y), k + SPARE)
    for rows, squared in squared_distances(x, y):
        for of_x, of_y in apart:
            squared[of_x[rows, None] == of_y[None]] = np.inf
        near = np.broadcast_to(np.arange(len(y)), squared.shape)
        if kept < len(y):
            near = np.argpartition(squared, kept - 1, axis=1)[:, :kept]
        exact = np.linalg.norm(x[rows, None].astype(np.float64) - y[near].astype(np.float64), axis=2)
        exact[~np.isfinite(np.take_along_axis(squared, near, axis=1))] = np.inf
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        distances[rows], places[rows] = np.take_along_axis(exact, order, 1), np.take_along_axis(near, order, 1)
    if np.isinf(distances).any():
        raise ValueError(f"some rows have fewer than {k} rows of other groups to be near to: lower k")
    return distances, places


def squared_distances(x: Features, y: Features) -> Iterator[tuple[slice, Float[np.ndarray, "_ _"]]]:
    """Blocks of rows of x, and their squared distances to all rows of y, in single precision."""
    left, right = np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.float32)
    lengths = (right**2).sum(axis=1)
    step = max(1, BLOCK // max(1, len(y)))
    for start in range(0, len(x), step):
        rows = slice(start, min(len(x), start + step))
        block = left[rows] @ right.T
        block *= -2
        block += lengths
        block += (left[rows] ** 2).sum(axis=1)[:, None]
        yield rows, np.maximum(block, 0, out=block)
