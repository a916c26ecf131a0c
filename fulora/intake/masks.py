"""Masks as (height, width) class numbers, 0 background: read as they stand, checked against their image."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image as Pil
from scipy import ndimage

from fulora.intake.decode import read_gray
from fulora.intake.raw import SourceError

MAX_CLASS = 15
"""The largest class number of a mask whose source names none: larger values are shades of gray, not classes."""


def checked_mask(
    image: UInt8[np.ndarray, "..."], mask: UInt8[np.ndarray, "..."], path: Path, largest: int = MAX_CLASS
) -> UInt8[np.ndarray, "h w"]:
    """The mask, if it fits its image.

    Args:
        image: (height, width) gray.
        path: the mask's file, for the message.
        largest: the largest class number allowed.

    Raises:
        SourceError: another size than the image's, a value above `largest`, or nothing but background.
    """
    if mask.shape != image.shape:
        sizes = " and ".join(" x ".join(str(side) for side in reversed(array.shape)) for array in (mask, image))
        raise SourceError(f"{path}: the mask and its image are {sizes} pixels; they must be of one size")
    values = np.unique(mask)
    if values[-1] > largest:
        raise SourceError(f"{path}: the mask holds the values {_some(values)}; its classes are 0 to {largest}")
    if values[-1] == 0:
        raise SourceError(f"{path}: the mask is empty; remove it, or mark what it should show")
    return mask


def read_classes(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A picture of class numbers as they stand, gray or palette, never scaled; black and white are 0 and 1.

    Raises:
        SourceError: unreadable file, or colours instead of numbers.
    """
    read_gray(path)  # every check of a picture file
    with Pil.open(path) as image:
        if image.mode not in ("L", "P", "1"):
            raise SourceError(f"{path}: pixel mode {image.mode}; a mask is gray or palette, its values are classes")
        values = np.asarray(image, dtype=np.uint8)
    return np.asarray(values // 255, np.uint8) if set(np.unique(values)) == {0, 255} else values


def read_head(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A head, 1, and what is around it, 0: from a filled mask, or from an outline that is filled here.

    Raises:
        SourceError: unreadable file, shades of gray, an outline that encloses nothing, or several regions.
    """
    gray = read_gray(path)
    values = np.unique(gray)
    if values[0] != 0 or values.size > 2:
        raise SourceError(f"{path}: the mask holds the values {_some(values)}; it must be black and one other")
    head = enclosed(gray > 0, path)
    regions = ndimage.label(head, np.ones((3, 3)))[1]
    if regions > 1:
        raise SourceError(f"{path}: the mask holds {regions} separate regions; a head is one")
    return np.asarray(head, np.uint8)


def enclosed(drawn: Bool[np.ndarray, "h w"], path: Path) -> Bool[np.ndarray, "h w"]:
    """What is drawn and all it encloses; the frame closes an outline that leaves the picture.

    Raises:
        SourceError: a thin line that encloses nothing.
    """
    pieces, count = ndimage.label(~drawn)
    inside = np.ones(count + 1, bool)
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        inside[edge[edge > 0]] = False
    solid = inside[pieces]
    if not drawn.any() or ndimage.binary_erosion(solid).any():
        return np.asarray(solid, bool)
    row, column = (int(np.rint(where.mean())) for where in np.nonzero(drawn))
    if count < 2 or pieces[row, column] == 0:
        raise SourceError(f"{path}: the outline is open and encloses nothing; close it, or give a filled mask")
    return np.asarray(drawn | (pieces == pieces[row, column]), bool)


def _some(values: np.ndarray) -> str:
    return ", ".join(str(value) for value in values[:6]) + (", ..." if values.size > 6 else "")
