"""Rows to arrays. The sets of this field are small: they are held in memory, and loops index them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8

from fulora.data.labels import PLANES
from fulora.data.manifest import Image, ImageSet


def load_pixels(images: ImageSet, rows: Sequence[Image]) -> UInt8[np.ndarray, "n h w"]:
    """The pictures of `rows`, in order.

    Raises:
        ValueError: no rows, or pictures of several sizes.
    """
    if not rows:
        raise ValueError(f"{images.path.name}: there are no images to load; check the set's splits and planes")
    sizes = {(row.height, row.width) for row in rows}
    if len(sizes) > 1:
        raise ValueError(f"{images.path.name}: images of several sizes ({sorted(sizes)}); curate them to one size")
    return np.stack([images.pixels(row) for row in rows])


def load_masks(images: ImageSet, rows: Sequence[Image]) -> UInt8[np.ndarray, "n h w"]:
    """The masks of `rows`, in order."""
    return np.stack([images.mask(row) for row in rows])


def plane_indices(rows: Sequence[Image]) -> Int[np.ndarray, " n"]:
    """The index in `PLANES` of each row's plane.

    Raises:
        ValueError: a row whose plane is not one of the five.
    """
    unknown = sorted({row.plane for row in rows} - set(PLANES))
    if unknown:
        raise ValueError(f"planes {', '.join(unknown)} are not part of the classification task ({', '.join(PLANES)})")
    return np.array([PLANES.index(row.plane) for row in rows], dtype=np.int64)
