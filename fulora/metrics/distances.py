"""Exact Euclidean distances to the nearest set pixel, and the window of an image in which masks lie."""

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

Mask = Bool[np.ndarray, "h w"]

MAX_FAST_DIAGONAL_PX = 1500
"""Up to here a squared distance in 32-bit floats is less than 0.5 from its whole number, so rounding makes it exact."""


def distance_to(mask: Mask, spacing: tuple[float, float] = (1.0, 1.0)) -> Float[np.ndarray, "h w"]:
    """The distance of every pixel to the nearest set pixel of the mask; 0 on it.

    Args:
        mask: with one set pixel or more.
        spacing: (row, column) pixel size; the distances are in its unit.

    Raises:
        ValueError: an empty mask, to which there is no distance.
    """
    if not mask.any():
        raise ValueError(f"the {mask.shape[0]} x {mask.shape[1]} mask is empty; a distance needs one set pixel or more")
    if spacing[0] != spacing[1] or math.hypot(*mask.shape) > MAX_FAST_DIAGONAL_PX:
        return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing))
    rough = cv2.distanceTransform((~np.ascontiguousarray(mask)).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.sqrt(np.rint(rough.astype(np.float64) ** 2)) * spacing[0])


def window_of(mask: Mask, margin: int = 0) -> tuple[slice, slice]:
    """The smallest window that holds the set pixels and `margin` pixels around them, as far as the image goes.

    Raises:
        ValueError: an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise ValueError(f"the {mask.shape[0]} x {mask.shape[1]} mask is empty; a window needs one set pixel or more")
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    return slice(top, int(rows[-1]) + 1 + margin), slice(left, int(columns[-1]) + 1 + margin)
