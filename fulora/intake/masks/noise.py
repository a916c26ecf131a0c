"""Noise in the values of one mask: artefacts of JPEG and smoothed edges are thresholded at 128."""

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
"""Least difference of the shades of two classes; shades that differ by 1 are one class (127 and 128)."""

DIM, BRIGHT = 64, 191
"""Shades up to the first are near black, and from the second on near white."""

SAVE_ADVICE = "save the masks as class numbers 0, 1, 2, ..."
VALUES_ADVICE = "give the class of each value, such as --values 127=1,255=2"


class ValuesError(SourceError):
    """Values of masks whose classes are ambiguous.

    Attributes:
        without_option: the message without the advice to use the option `--values` of commands.
    """

    def __init__(self, problem: str, remedy: str = SAVE_ADVICE, option: str = VALUES_ADVICE) -> None:
        self.without_option = f"{problem}; {remedy}"
        super().__init__(f"{self.without_option}, or {option}" if option else self.without_option)


def threshold_noise(path: Path, stored: StoredMask, known: Iterable[int]) -> tuple[UInt8[np.ndarray, "h w"], bool]:
    """Return the values, and whether they were noisy and therefore thresholded to black and white.

    Args:
        known: values with a given class; a mask that holds no others is not changed.

    Raises:
        ValuesError: if there is noise that is not near black and white.
    """
    values = distinct_values(stored.values)
    if stored.palette is not None or (values <= {*known} and known) or values <= {0, 255}:
        return stored.values, False
    if not (stored.lossy or _crowded(values)):
        return stored.values, False
    largest = max(values)
    if largest < BRIGHT or _has_area((stored.values > DIM) & (stored.values < BRIGHT)):
        kind = "a JPEG, whose noise hides class numbers" if stored.lossy else "shades that are not near black or white"
        some = first_values(sorted(values))
        raise ValuesError(f"{path}: holds the values {some}: {kind}", "save it as PNG with class numbers", "")
    return np.asarray(np.where(stored.values >= 128, 255, 0), np.uint8), True


def _crowded(values: set[int]) -> bool:
    shades = sorted(value for value in values if value > MAX_CLASS)
    return len(values) > MAX_CLASS + 1 or any(b - a < APART for a, b in pairwise(shades))


def _has_area(where: Bool[np.ndarray, "h w"]) -> bool:
    """Return whether an erosion leaves pixels, as it does of structures but not of edges."""
    return bool(ndimage.binary_erosion(where, np.ones((3, 3))).any())


def distinct_values(values: UInt8[np.ndarray, "h w"]) -> set[int]:
    """Return the set of values."""
    histogram = cv2.calcHist([values], [0], None, [256], [0, 256])
    return {int(value) for value in np.flatnonzero(histogram)}


def first_values(values: Sequence[int]) -> str:
    """Return the first six values as text."""
    return ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")
