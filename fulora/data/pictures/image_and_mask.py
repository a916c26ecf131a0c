"""Pairs: an image and its mask as one colour picture, the mask red, the image green and blue.

A generator trained on them draws both at once (Wang et al., arXiv 2506.23664, where channel 0 holds the outline of the
ellipse; here it is the filled mask, which survives a small autoencoder better).
"""

import numpy as np
from jaxtyping import UInt8

from fulora.biometry.ellipse import Ellipse, ellipse_mask

PRESENT = 128
"""Red at or above this is mask."""


def join_pair(pixels: UInt8[np.ndarray, "h w"], mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Join a gray picture and a mask of one structure (everything that is not 0)."""
    return np.stack([np.where(mask > 0, 255, 0).astype(np.uint8), pixels, pixels], axis=-1)


def split_pair(pair: UInt8[np.ndarray, "h w 3"]) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Return the gray picture, the mean of green and blue, and the mask (0 or 1)."""
    gray = np.round(pair[..., 1:].mean(axis=-1)).astype(np.uint8)
    return gray, (pair[..., 0] >= PRESENT).astype(np.uint8)


def add_random_ellipses(images: UInt8[np.ndarray, "n h w"], seed: int) -> UInt8[np.ndarray, "n h w 3"]:
    """Return every second picture with a random ellipse, independent of it, in the red channel; the others gray."""
    random, found = np.random.default_rng(seed), []
    side = min(images.shape[1:])
    for number, pixels in enumerate(images):
        if number % 2:
            found.append(np.repeat(pixels[..., None], 3, axis=-1))
            continue
        b = random.uniform(0.08, 0.4) * side
        x, y = random.uniform(0.2, 0.8, 2) * pixels.shape[::-1]
        ellipse = Ellipse(float(x), float(y), b * random.uniform(1.0, 1.5), b, random.uniform(0, 179.9))
        found.append(join_pair(pixels, ellipse_mask(ellipse, pixels.shape).astype(np.uint8)))
    return np.stack(found)
