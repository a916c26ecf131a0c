"""The first look at a picture that was drawn: whether it shows anything. What it shows is another question."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8

from fulora.data.manifest import is_blank

Fault = Literal["nan", "black", "saturated", "constant", "duplicate"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

BLACK_LEVEL = 16
"""A picture is black if its brightest hundredth of pixels is darker than this, of 255."""

SATURATED_LEVEL = 250
SATURATED_SHARE = 0.3
"""A picture is saturated if more than this share of its pixels is at `SATURATED_LEVEL` or above."""


class GateError(ValueError):
    """Too many pictures show nothing, or one does however often it is drawn."""


def fault(pixels: UInt8[np.ndarray, "h w *rgb"], finite: bool) -> Fault | None:
    """What is wrong with a picture, or None.

    None of the real planes and heads that the project has at hand is rejected (a test holds that).

    Args:
        finite: whether all numbers that it was made of were numbers.
    """
    if not finite:
        return "nan"
    if np.percentile(pixels, 99) < BLACK_LEVEL:
        return "black"
    if (pixels >= SATURATED_LEVEL).mean() > SATURATED_SHARE:
        return "saturated"
    return "constant" if is_blank(pixels) else None
