"""Near duplicates, detected by a perceptual hash and the correlation of thumbnails."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image as Pil

THUMBNAIL_PX = 32
BITS_APART = 10
"""Bits of 64 that the hashes of a near pair may differ in."""
CORRELATION = 0.95
"""Least correlation of the thumbnails of a near pair. On the public Spanish, African and HC18 planes the correlations
of two patients' images leave a gap from 0.91 to 0.96: above it are the same pictures under two numbers."""
AT_ONCE = 1 << 22
"""Pairs compared at once, some 9 bytes each."""

NearPair = tuple[int, int, float]
"""Indices of two pictures, the smaller first, and the correlation of their thumbnails."""


@dataclass(frozen=True)
class PictureSignature:
    """What pictures are compared by: 1 KB, independent of the picture's size.

    Attributes:
        phash: 64-bit perceptual hash (DCT; ImageHash).
        thumbnail: 32 x 32 gray; None for a constant picture, which matches no other.
    """

    phash: int
    thumbnail: UInt8[np.ndarray, "32 32"] | None


def compute_signature(pixels: UInt8[np.ndarray, "h w"]) -> PictureSignature:
    """Compute the signature of a gray picture."""
    if pixels.min() == pixels.max():
        return PictureSignature(0, None)
    small = cv2.resize(pixels, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return PictureSignature(int(str(imagehash.phash(Pil.fromarray(pixels))), 16), np.asarray(small))


def near_pairs(pictures: Sequence[PictureSignature | None]) -> list[NearPair]:
    """Return pairs of nearly equal pictures; None matches no other.

    A pair is near when its hashes differ in at most `BITS_APART` bits *and* its thumbnails correlate at `CORRELATION`
    or more. Scaled, brightened and compressed copies are found, and copies cropped by up to 1 % of a side, not more.
    The hashes of all pairs are compared, thumbnails only where the hashes are near: time grows with the square of the
    number of pictures (seconds for 20,000), memory with the number.
    """
    usable = [
        (place, found) for place, found in enumerate(pictures) if found is not None and found.thumbnail is not None
    ]
    if not usable:
        return []
    places = [place for place, _ in usable]
    hashes = np.array([found.phash for _, found in usable], dtype=np.uint64)
    shades = np.stack([np.asarray(found.thumbnail, np.float32).ravel() for _, found in usable])
    shades -= shades.mean(1, keepdims=True)
    shades /= np.linalg.norm(shades, axis=1, keepdims=True) + 1e-6
    near: list[NearPair] = []
    block = max(1, AT_ONCE // len(places))
    for start in range(0, len(places), block):
        apart = np.bitwise_count(hashes[start : start + block, None] ^ hashes[None, start:])
        rows, columns = np.nonzero(apart <= BITS_APART)
        rows, columns = rows[rows < columns] + start, columns[rows < columns] + start
        alike = _correlations(shades, rows, columns)
        near += [
            (places[rows[k]], places[columns[k]], round(float(alike[k]), 4))
            for k in np.flatnonzero(alike >= CORRELATION)
        ]
    return near


def _correlations(
    shades: Float32[np.ndarray, "n 1024"], rows: np.ndarray, columns: np.ndarray, step: int = 4096
) -> Float32[np.ndarray, " pairs"]:
    parts = [
        np.einsum("ij,ij->i", shades[rows[k : k + step]], shades[columns[k : k + step]])
        for k in range(0, len(rows), step)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts])
