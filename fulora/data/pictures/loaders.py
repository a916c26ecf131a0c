"""Loading of rows as arrays: pictures are decoded once and kept as bytes."""

import os
import tempfile
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.pictures.resize import Resampling, to_square
from fulora.engine import threaded

IN_MEMORY_BYTES = 4 * 1024**3
"""Larger arrays are mapped from an unnamed temporary file."""


def load_pixels(images: ImageSet, rows: Sequence[Image]) -> UInt8[np.ndarray, "n h w"]:
    """Load the pictures of `rows`, in order.

    Raises:
        ValueError: if there are no rows, or pictures of several sizes.
    """
    if not rows:
        raise ValueError(f"{images.path.name}: there are no images to load; check the set's splits and planes")
    sizes = {(row.height, row.width) for row in rows}
    if len(sizes) > 1:
        raise ValueError(f"{images.path.name}: images of several sizes ({sorted(sizes)}); curate them to one size")
    return np.stack([images.pixels(row) for row in rows])


def load_squares(
    images: ImageSet,
    rows: Sequence[Image],
    size_px: int,
    fit: Literal["letterbox", "squash"],
    resampling: Resampling = "bilinear",
) -> UInt8[np.ndarray, "n size_px size_px"]:
    """Load the pictures of `rows` as squares (`to_square`), in order; in memory, or on disk if many.

    Raises:
        OSError: if the disk of temporary files has no room for them.
    """
    shape = (len(rows), size_px, size_px)
    if np.prod(shape) <= IN_MEMORY_BYTES:
        squares = np.empty(shape, np.uint8)
    else:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk would end the process by SIGBUS, without a word
                os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))
            squares = np.memmap(file, np.uint8, shape=shape)

    def put(number: int) -> None:
        squares[number] = to_square(images.pixels(rows[number]), size_px, fit, resampling)

    for _ in threaded(put, range(len(rows))):
        pass
    return squares


def load_masks(images: ImageSet, rows: Sequence[Image]) -> UInt8[np.ndarray, "n h w"]:
    """Load the masks of `rows`, in order."""
    return np.stack([images.mask(row) for row in rows])


def load_square_masks(
    images: ImageSet, rows: Sequence[Image], size_px: int, fit: Literal["letterbox", "squash"]
) -> UInt8[np.ndarray, "n size_px size_px"]:
    """Load the masks of `rows` as squares, by nearest neighbour."""
    return np.stack([to_square(images.mask(row), size_px, fit, "nearest") for row in rows])


def class_indices(rows: Sequence[Image], labels: LabelSet) -> Int[np.ndarray, " n"]:
    """Return the index of each row's class in a label set.

    Raises:
        LabelSetError: if a row shows none of its classes.
    """
    return np.array(labels.places([row.plane for row in rows]), dtype=np.int64)
