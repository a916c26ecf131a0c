"""Noise in the values of one mask: what JPEG or a smoothed edge leaves beside black and white is cut at 128."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from fulora.intake.masks.stored_values import MAX_CLASS, StoredMask
from fulora.intake.raw_image import SourceError

APART = 8
"""Shades of two classes differ by at least this; by 1 they are one class (127 and 128), and between, nobody knows."""

DIM, BRIGHT = 64, 191
"""Shades up to the one are near black and from the other near white."""


SAVE_ADVICE = "save the masks as class numbers 0, 1, 2, ..."
VALUES_ADVICE = "say which value is which class, such as --values 127=1,255=2"


class ValuesError(SourceError):
    """Values of masks that could stand for several classes.

    Attributes:
        alone: the message less what only commands with an option `--values` can be told.
    """

    def __init__(self, problem: str, mend: str, option: str = "") -> None:
        """What is wrong with which files, how to mend them, and what a command for masks can be told instead."""
        self.alone = f"{problem}; {mend}"
        super().__init__(f"{self.alone}, or {option}" if option else self.alone)


def threshold_noise(path: Path, stored: StoredMask, known: Iterable[int]) -> tuple[UInt8[np.ndarray, "h w"], bool]:
    """The values, and whether they were noisy, so that they were cut into black and white.

    Args:
        path: the mask's file, for messages.
        known: values whose class was said; a mask that holds no others is left as it is.

    Raises:
        ValuesError: noise, but not near black and white.
    """
    found = distinct_values(stored.values)
    if stored.palette is not None or (found <= {*known} and known) or found <= {0, 255}:
        return stored.values, False
    if not (stored.lossy or _crowded(found)):
        return stored.values, False
    largest = max(found)
    if largest < BRIGHT or _has_area((stored.values > DIM) & (stored.values < BRIGHT)):
        kind = "a JPEG, whose noise hides class numbers" if stored.lossy else "shades that are not near black or white"
        raise ValuesError(
            f"{path}: holds the values {first_values(sorted(found))}: {kind}", "save it as PNG with class numbers"
        )
    return np.asarray(np.where(stored.values >= 128, 255, 0), np.uint8), True


def _crowded(found: set[int]) -> bool:
    """Whether shades are too many or too close together to be classes."""
    shades = sorted(value for value in found if value > MAX_CLASS)
    return len(found) > MAX_CLASS + 1 or any(b - a < APART for a, b in pairwise(shades))


def _has_area(where: Bool[np.ndarray, "h w"]) -> bool:
    """Whether anything remains of it without its outermost pixels: edges vanish, structures stay."""
    return bool(ndimage.binary_erosion(where, np.ones((3, 3))).any())


def distinct_values(values: UInt8[np.ndarray, "h w"]) -> set[int]:
    """The values that occur."""
    histogram = cv2.calcHist([values], [0], None, [256], [0, 256])
    return {int(value) for value in np.flatnonzero(histogram)}


def first_values(values: Sequence[int]) -> str:
    """The first six values, for a message."""
    return ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")
