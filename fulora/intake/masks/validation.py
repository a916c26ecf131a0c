"""Masks as (height, width) class numbers, 0 background, checked: against their image, or as one head."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from scipy import ndimage

from fulora.intake.masks.stored_values import MAX_CLASS
from fulora.intake.masks.value_mapping import is_inverted
from fulora.intake.raw_image import SourceError


def validate_mask(
    image: UInt8[np.ndarray, "..."], mask: UInt8[np.ndarray, "..."], path: Path, largest: int = MAX_CLASS
) -> UInt8[np.ndarray, "h w"]:
    """The mask, if it fits its image.

    Args:
        image: (height, width) gray.
        path: the mask's file, for the message.
        largest: the largest class number allowed.

    Raises:
        SourceError: another size than the image's, a value above `largest`, nothing but background, or all four corners
            marked.
    """
    if mask.shape != image.shape:
        sizes = " and ".join(" x ".join(str(side) for side in reversed(array.shape)) for array in (mask, image))
        raise SourceError(f"{path}: the mask and its image are {sizes} pixels; they must be of one size")
    values = np.unique(mask)
    if values[-1] > largest:
        raise SourceError(f"{path}: the mask holds the values {_some(values)}; its classes are 0 to {largest}")
    if values[-1] == 0:
        raise SourceError(f"{path}: the mask is empty; remove it, or mark what it should show")
    check_background(mask, path)
    return mask


def head_mask(labels: UInt8[np.ndarray, "h w"], path: Path) -> UInt8[np.ndarray, "h w"]:
    """A head, 1, and what is around it, 0: from a filled mask, or from an outline that is filled here.

    Args:
        labels: the mask's class numbers.
        path: the mask's file, for messages.

    Raises:
        SourceError: several classes, no background, an outline that encloses nothing, or several regions.
    """
    values = np.unique(labels)
    if values[0] != 0 or values.size > 2:
        raise SourceError(f"{path}: the mask holds the classes {_some(values)}; it must be black and one other")
    check_background(labels, path)
    head = fill_outline(labels > 0, path)
    regions = ndimage.label(head, np.ones((3, 3)))[1]
    if regions > 1:
        raise SourceError(f"{path}: the mask holds {regions} separate regions; a head is one")
    return np.asarray(head, np.uint8)


def check_background(labels: Shaped[np.ndarray, "h w"], path: Path) -> None:
    """Refuse a mask that somebody drew where background and structure seem to be swapped.

    Raises:
        SourceError: all four corners are marked, but not all of the picture.
    """
    if is_inverted(labels):
        raise SourceError(
            f"{path}: the mask marks all four corners of its picture; black is the background: invert the mask"
        )


def fill_outline(drawn: Bool[np.ndarray, "h w"], path: Path) -> Bool[np.ndarray, "h w"]:
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
