"""The blank-image check of a generated image: whether it shows anything. What it shows is another question."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from fulora.config import Config
from fulora.data.column_types import Plane
from fulora.data.pictures.pixels import BLANK_SPREAD
from fulora.json_files import read_json

GATE = "gate.json"

Fault = Literal["nan", "black", "saturated", "constant", "duplicate"]

BLACK_LEVEL = 16
"""An image is black if its brightest hundredth of pixels is darker than this, of 255."""

SATURATED_LEVEL = 250
SATURATED_SHARE = 0.3
"""An image is saturated if more than this share of its pixels is at `SATURATED_LEVEL` or above."""


class RejectionCounts(Config):
    """`gate.json` of a complete set: how many images were generated in all, and how many were rejected, by class.

    Attributes:
        images: in the set.
        drawn: generated, the rejected ones included.
        alike: groups of classes whose prompts the backbone cannot distinguish.
    """

    images: int
    drawn: int
    rejected: Mapping[Plane, Mapping[Fault, int]]
    alike: tuple[tuple[Plane, ...], ...] = ()


class RejectedImagesError(ValueError):
    """Too many images are rejected, or one is at every attempt."""


def find_fault(pixels: UInt8[np.ndarray, "h w *rgb"], finite: bool) -> Fault | None:
    """Return what is wrong with an image, or None.

    None of the real planes and heads that the project has is rejected (a test ensures that).

    Args:
        finite: whether all values were finite before they became pixels.
    """
    if not finite:
        return "nan"
    gray = pixels if pixels.ndim == 2 else pixels.mean(axis=2)  # the levels of its colours differ even if it is blank
    if np.percentile(gray, 99) < BLACK_LEVEL:
        return "black"
    if (gray >= SATURATED_LEVEL).mean() > SATURATED_SHARE:
        return "saturated"
    return "constant" if gray.std() < BLANK_SPREAD else None


def read_counts(folder: Path) -> RejectionCounts | None:
    """Return the rejection counts of a generated set; None for a set that was not generated, or has been mixed."""
    path = folder / GATE
    return read_json(path, RejectionCounts) if path.is_file() else None
