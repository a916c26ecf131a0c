"""The first look at a picture that was drawn: whether it shows anything. What it shows is another question."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8

from fulora.config import Config
from fulora.data.labels import Plane
from fulora.data.pictures.pixels import is_blank
from fulora.json_files import read_json

GATE = "gate.json"

Fault = Literal["nan", "black", "saturated", "constant", "duplicate"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

BLACK_LEVEL = 16
"""A picture is black if its brightest hundredth of pixels is darker than this, of 255."""

SATURATED_LEVEL = 250
SATURATED_SHARE = 0.3
"""A picture is saturated if more than this share of its pixels is at `SATURATED_LEVEL` or above."""


class RejectionCounts(Config):
    """`gate.json` of a complete set: how many pictures were drawn for its images, and what was rejected, by plane.

    Attributes:
        alike: classes that the backbone could not tell apart by their prompts, several a group.
    """

    images: int
    drawn: int
    rejected: Mapping[Plane, Mapping[Fault, int]]
    alike: tuple[tuple[Plane, ...], ...] = ()


class RejectedImagesError(ValueError):
    """Too many pictures show nothing, or one does however often it is drawn."""


def fault(pixels: UInt8[np.ndarray, "h w *rgb"], finite: bool) -> Fault | None:
    """What is wrong with a picture, or None.

    None of the real planes and heads that the project has at hand is rejected (a test holds that).

    Args:
        finite: whether all numbers that it was made of were numbers.
    """
    if not finite:
        return "nan"
    gray = pixels if pixels.ndim == 2 else pixels.mean(axis=2)  # the levels of its colours differ even if it is blank
    if np.percentile(gray, 99) < BLACK_LEVEL:
        return "black"
    if (gray >= SATURATED_LEVEL).mean() > SATURATED_SHARE:
        return "saturated"
    return "constant" if is_blank(gray) else None


def read_counts(folder: Path) -> RejectionCounts | None:
    """What the gate of a set's folder says; None for a set that was not drawn, or has been mixed."""
    path = folder / GATE
    return read_json(path, RejectionCounts) if path.is_file() else None
