"""Digests of pixels, and the blank-image check."""

import hashlib

import numpy as np
from jaxtyping import UInt8

BLANK_SPREAD = 2.0
"""Standard deviation of the gray values, 0 to 255, below which a picture is blank."""


def pixel_digest(pixels: UInt8[np.ndarray, "h w *rgb"]) -> str:
    """Return the SHA-256 of the size and the decoded pixels: equal for equal pictures, however they were encoded."""
    return hashlib.sha256(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def is_blank(pixels: UInt8[np.ndarray, "h w"]) -> bool:
    """Whether a picture is blank: all its gray values are nearly equal."""
    return bool(pixels.std() < BLANK_SPREAD)
