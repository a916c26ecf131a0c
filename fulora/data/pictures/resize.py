"""Resizing of pictures to squares and back, the same in training and testing."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as Pil

Fit = Literal["letterbox", "squash", "crop", "native"]
"""`letterbox` keeps the whole picture, centred on black; `squash` keeps it too and gives both sides their own scale;
`crop` keeps the central square; `native` changes nothing."""

Resampling = Literal["area", "bilinear", "bicubic", "nearest"]
"""`area` (OpenCV) averages; `bilinear` and `bicubic` (Pillow) average where they shrink; `nearest`, for masks, takes
the pixel at the centre."""

PILLOW = {"bilinear": Pil.Resampling.BILINEAR, "bicubic": Pil.Resampling.BICUBIC, "nearest": Pil.Resampling.NEAREST}


def to_square(
    pixels: UInt8[np.ndarray, "h w"], size_px: int, fit: Fit, resampling: Resampling = "bilinear"
) -> UInt8[np.ndarray, "new_h new_w"]:
    """Resize a picture to a square of `size_px`; unchanged if it has that size already, or for `native`."""
    if fit == "native" or pixels.shape == (size_px, size_px):
        return pixels
    square = _whole(pixels, fit)
    if resampling == "area":
        return np.asarray(cv2.resize(square, (size_px, size_px), interpolation=cv2.INTER_AREA))
    return np.asarray(Pil.fromarray(square).resize((size_px, size_px), PILLOW[resampling]))


def from_square(
    values: Float[np.ndarray, "c size size"], shape: tuple[int, ...], fit: Literal["letterbox", "squash"]
) -> Float[np.ndarray, "c h w"]:
    """Undo `to_square` for a picture of `shape` (h, w): values of a square, at the picture's own size."""
    size, (height, width) = values.shape[-1], shape
    if shape == (size, size):
        return values
    longest = max(shape)
    whole = (width, height) if fit == "squash" else (longest, longest)
    top, left = (0, 0) if fit == "squash" else ((longest - height) // 2, (longest - width) // 2)
    layers = [cv2.resize(np.ascontiguousarray(layer), whole) for layer in values]
    return np.stack([layer[top : top + height, left : left + width] for layer in layers])


def scale_to_square(shape: tuple[int, ...], size_px: int, fit: Literal["letterbox", "crop", "native"]) -> float:
    """Return new pixels per old pixel of a picture of `shape` (h, w); pixel sizes in mm are divided by it."""
    if fit == "native":
        return 1.0
    return size_px / (min(shape) if fit == "crop" else max(shape))


def _whole(pixels: UInt8[np.ndarray, "h w"], fit: Fit) -> UInt8[np.ndarray, "new_h new_w"]:
    height, width = pixels.shape
    if fit == "letterbox":
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = np.zeros((side, side), np.uint8)
        square[top : top + height, left : left + width] = pixels
        return square
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return pixels[top : top + side, left : left + side]
    return pixels
