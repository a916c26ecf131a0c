"""Validation of masks, (height, width) class numbers with 0 for background: against their image, or as one head."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from scipy import ndimage

from fulora.intake.masks.noise import first_values
from fulora.intake.masks.stored_values import MAX_CLASS
from fulora.intake.masks.value_mapping import MaskValues, is_inverted
from fulora.intake.raw_image import SourceError


def read_valid_mask(
    image: UInt8[np.ndarray, "..."], mask: Path | None, values: MaskValues
) -> UInt8[np.ndarray, "h w"] | None:
    """Read the mask of an image; None without a mask.

    Raises:
        SourceError: as `MaskValues.read` and `validate_mask`.
    """
    return None if mask is None else validate_mask(image, values.read(mask), mask)


def validate_mask(
    image: UInt8[np.ndarray, "..."], mask: UInt8[np.ndarray, "..."], path: Path, largest: int = MAX_CLASS
) -> UInt8[np.ndarray, "h w"]:
    """Return the mask, if it fits its image.

    Raises:
        SourceError: if its size is not the image's, a value is above `largest`, it is empty, or all corners are marked.
    """
    if mask.shape != image.shape:
        sizes = " and ".join(" x ".join(str(side) for side in reversed(array.shape)) for array in (mask, image))
        raise SourceError(f"{path}: the mask and its image are {sizes} pixels; they must have the same size")
    values = np.unique(mask)
    if values[-1] > largest:
        raise SourceError(f"{path}: the mask holds {first_values(values.tolist())}; its classes are 0 to {largest}")
    if values[-1] == 0:
        raise SourceError(f"{path}: the mask is empty; remove it, or mark the structure")
    check_background(mask, path)
    return mask


def head_mask(labels: UInt8[np.ndarray, "h w"], path: Path) -> UInt8[np.ndarray, "h w"]:
    """Return the mask of a head: 1 inside, 0 outside. An outline is filled.

    Raises:
        SourceError: if there are several classes or regions, no background, or an outline that encloses nothing.
    """
    values = np.unique(labels)
    if values[0] != 0 or values.size > 2:
        raise SourceError(
            f"{path}: the mask holds the classes {first_values(values.tolist())}; it must be background and one class"
        )
    check_background(labels, path)
    head = fill_outline(labels > 0, path)
    regions = ndimage.label(head, np.ones((3, 3)))[1]
    if regions > 1:
        raise SourceError(f"{path}: the mask holds {regions} separate regions; a head is one region")
    return np.asarray(head, np.uint8)


def check_background(labels: Shaped[np.ndarray, "h w"], path: Path) -> None:
    """Refuse a mask whose background and structure seem to be swapped.

    Raises:
        SourceError: if all four corners are marked, but not the whole image.
    """
    if is_inverted(labels):
        raise SourceError(f"{path}: the mask marks all four corners, but black is the background: invert it")


def fill_outline(drawn: Bool[np.ndarray, "h w"], path: Path) -> Bool[np.ndarray, "h w"]:
    """Return an outline with all that it encloses; the image border closes an outline that leaves the image.

    Raises:
        SourceError: if it is a thin line that encloses nothing.
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
