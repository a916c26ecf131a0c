"""The values of a mask's file of any kind: gray, palette, alpha, 1 or 16 bit, JPEG, MHA, NIfTI."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image as Pil
from PIL import ImageOps

from fulora.data.label_class import MOST
from fulora.intake.formats.decode import EIGHT_BIT, SIXTEEN_BIT, read_with_pillow
from fulora.intake.formats.metaimage import one_channel, read_mha_mask
from fulora.intake.formats.nifti import read_nifti
from fulora.intake.formats.plain_png import read_plain_png
from fulora.intake.raw_image import SourceError

MAX_CLASS = MOST
"""The largest class number of a mask: larger values are shades of gray."""

MODES = (*EIGHT_BIT, *SIXTEEN_BIT, "I", "F")
BLACK = 16
"""A colour below it counts as black."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255, composed over black."""

JPEG_SPREAD = 8
"""Largest difference of red, green and blue in a gray JPEG."""


def gray_level(colour: Colour) -> int | None:
    """Return the gray level of a colour; None if it is not gray."""
    return colour[0] if colour[0] == colour[1] == colour[2] else None


@dataclass(frozen=True)
class StoredMask:
    """The content of a mask's file.

    Attributes:
        values: gray levels 0 to 255; of a palette with colours its indexes.
        palette: of a palette with colours, the colour of each of 256 indexes.
        lossy: whether the file was compressed with loss, so that its values are noisy.
    """

    values: UInt8[np.ndarray, "h w"]
    palette: tuple[Colour, ...] | None = None
    lossy: bool = False


def read_stored(path: Path) -> StoredMask:
    """Read the values of a mask's file. Transparent pixels are black; if all visible ones are black, opacity is read.

    16-bit values up to 255 are kept; larger ones are shades, and are divided by 257.

    Raises:
        SourceError: if it is unreadable, or holds several frames, colours, or numbers neither classes nor shades.
    """
    name = path.name.lower()
    if name.endswith(".mha"):
        return StoredMask(one_channel(read_mha_mask(path), path))
    if name.endswith((".nii", ".nii.gz")):
        return StoredMask(read_nifti(path))
    pixels = read_plain_png(path)
    if pixels is None:
        return read_with_pillow(path, lambda image: _read_image(path, image), MODES)
    return StoredMask(pixels if pixels.ndim == 2 else _gray(path, pixels, 0))


def _read_image(path: Path, image: Pil.Image) -> StoredMask:
    lossy = _lossy(path, image)
    image = ImageOps.exif_transpose(image)
    if image.mode in (*SIXTEEN_BIT, "I", "F"):
        return StoredMask(_eight_bit(path, np.asarray(image)))
    if image.mode == "P":
        return _read_palette(path, image)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        shown = _on_black(np.asarray(image.convert("RGBA")))
        return StoredMask(_gray(path, shown, JPEG_SPREAD * lossy), lossy=lossy)
    if image.mode in ("L", "1"):
        return StoredMask(np.asarray(image.convert("L")), lossy=lossy)
    return StoredMask(_gray(path, np.asarray(image.convert("RGB")), JPEG_SPREAD * lossy), lossy=lossy)


def _lossy(path: Path, image: Pil.Image) -> bool:
    if image.format == "WEBP":
        with path.open("rb") as file:
            start = file.read(4096)
        return b"VP8L" not in start
    return image.format in ("JPEG", "MPO") or "jpeg" in str(image.info.get("compression", ""))


def _read_palette(path: Path, image: Pil.Image) -> StoredMask:
    """Return gray levels if the palette has no colours; otherwise indexes, of which 0 must be the black background."""
    indexes = np.asarray(image)
    image.apply_transparency()
    entries = np.array(image.getpalette("RGBA"), np.uint8).reshape(1, -1, 4)
    colours = np.zeros((256, 3), np.uint8)
    colours[: entries.shape[1]] = _on_black(entries)[0]
    gray = (colours == colours[:, :1]).all(axis=1)
    if gray.all():
        return StoredMask(np.asarray(colours[:, 0][indexes]))
    used = np.unique(indexes)
    dark = used[(colours[used] < BLACK).all(axis=1)]
    if (colours[0] < BLACK).all() and not dark.any():
        return StoredMask(indexes, tuple((int(red), int(green), int(blue)) for red, green, blue in colours))
    if gray[used].all():
        return StoredMask(np.asarray(colours[:, 0][indexes]))
    raise SourceError(
        f"{path}: a palette of colours whose entry 0, the background, is not its only black: save the mask as gray "
        "class numbers"
    )


def _on_black(rgba: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """Compose colours over black; if only black is visible, and not everywhere, return the opacity instead."""
    colours, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() < alpha.max() and not colours[alpha[..., 0] > 0].any():
        return np.repeat(alpha, 3, axis=2)
    return np.asarray(np.round(colours * (alpha / 255.0)), np.uint8)


def _gray(path: Path, colours: UInt8[np.ndarray, "h w 3"], spread: int) -> UInt8[np.ndarray, "h w"]:
    first, second, third = cv2.split(colours)
    if np.array_equal(first, second) and np.array_equal(second, third):
        return np.asarray(first)
    if np.ptp(colours, axis=2).max() > spread:
        raise SourceError(f"{path}: holds colours; the values of a mask are class numbers, so save it as gray")
    return np.asarray(second)


def _eight_bit(path: Path, values: Shaped[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    distinct = np.unique(values)
    if (
        np.isfinite(distinct).all()
        and (distinct == np.rint(distinct)).all()
        and 0 <= distinct[0] <= distinct[-1] <= 65535
    ):
        if distinct[-1] <= 255:
            return values.astype(np.uint8)
        shades = np.unique(np.round(distinct / 257.0))
        kept = len(shades) == len(distinct) and (shades[shades > 0] > MAX_CLASS).all()
        if shades[-1] > MAX_CLASS and (kept or len(shades) > MAX_CLASS + 1):
            return np.round(values / 257.0).astype(np.uint8)
    some = ", ".join(f"{value:g}" for value in distinct[:6]) + (", ..." if len(distinct) > 6 else "")
    raise SourceError(
        f"{path}: holds the values {some}; a mask has class numbers, 0 to {MAX_CLASS}, or shades of 8 or 16 bit, of "
        "the whole range 0 to 255 or 0 to 65535; save it as 8-bit PNG with class numbers 0, 1, 2, ..."
    )
