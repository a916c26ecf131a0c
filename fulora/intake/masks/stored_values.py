"""The values that a mask's file shows, of whatever kind: gray, palette, alpha, 1 or 16 bit, JPEG, MHA, NIfTI."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image as Pil

from fulora.data.label_class import MOST
from fulora.intake.formats.decode import EIGHT_BIT, SIXTEEN_BIT, read_with_pillow, upright
from fulora.intake.formats.metaimage import one_channel, read_mha_mask
from fulora.intake.formats.nifti import read_nifti
from fulora.intake.formats.plain_png import read_plain_png
from fulora.intake.raw_image import SourceError

MAX_CLASS = MOST
"""The largest class number of a mask: larger values are shades of gray."""

MODES = (*EIGHT_BIT, *SIXTEEN_BIT, "I", "F")
BLACK = 16
"""Below it a colour is taken as black."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255, as they are shown on black."""

JPEG_SPREAD = 8
"""How far apart red, green and blue of a gray JPEG may lie."""


def gray_level(colour: Colour) -> int | None:
    """The gray that a colour is, None where it is none."""
    return colour[0] if colour[0] == colour[1] == colour[2] else None


@dataclass(frozen=True)
class StoredMask:
    """What a mask's file holds.

    Attributes:
        values: gray values 0 to 255, as they are shown; of a palette with colours its indexes.
        palette: of a palette with colours, the colour that each of 256 indexes is shown in.
        lossy: whether the file was compressed with loss, so that its values are noisy.
    """

    values: UInt8[np.ndarray, "h w"]
    palette: tuple[Colour, ...] | None = None
    lossy: bool = False


def read_stored(path: Path) -> StoredMask:
    """The values of a mask's file. What is transparent is black; where all that is visible is black, opacity counts.

    16-bit values up to 255 stand for themselves; larger ones are shades, and are divided by 257.

    Raises:
        SourceError: unreadable file, several frames, colours, or numbers that are neither classes nor shades.
    """
    name = path.name.lower()
    if name.endswith(".mha"):
        return StoredMask(one_channel(read_mha_mask(path), path))
    if name.endswith((".nii", ".nii.gz")):
        return StoredMask(read_nifti(path))
    pixels = read_plain_png(path)
    if pixels is None:
        return read_with_pillow(path, lambda image: _of_image(path, image), MODES)
    return StoredMask(pixels if pixels.ndim == 2 else _gray(path, pixels, 0))


def _of_image(path: Path, image: Pil.Image) -> StoredMask:
    lossy = _lossy(path, image)
    image = upright(image)
    if image.mode in (*SIXTEEN_BIT, "I", "F"):
        return StoredMask(_eight_bit(path, np.asarray(image)))
    if image.mode == "P":
        return _of_palette(path, image)
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


def _of_palette(path: Path, image: Pil.Image) -> StoredMask:
    """Gray where the palette has no colours; else indexes, whose first must be the black background."""
    indexes = np.asarray(image)
    image.apply_transparency()
    entries = np.array(image.getpalette("RGBA"), np.uint8).reshape(1, -1, 4)
    shown = np.zeros((256, 3), np.uint8)
    shown[: entries.shape[1]] = _on_black(entries)[0]
    gray = (shown == shown[:, :1]).all(axis=1)
    if gray.all():
        return StoredMask(np.asarray(shown[:, 0][indexes]))
    used = np.unique(indexes)
    dark = used[(shown[used] < BLACK).all(axis=1)]
    if (shown[0] < BLACK).all() and not dark.any():
        return StoredMask(indexes, tuple((int(red), int(green), int(blue)) for red, green, blue in shown))
    if gray[used].all():
        return StoredMask(np.asarray(shown[:, 0][indexes]))
    raise SourceError(
        f"{path}: a palette of colours whose entry 0 is not its only black; the first entry of classes is their "
        "background: save the mask as gray class numbers"
    )


def _on_black(rgba: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colours as they are shown on black; where nothing but black is visible, and not everywhere, its opacity."""
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
    found = np.unique(values)
    if np.isfinite(found).all() and (found == np.rint(found)).all() and 0 <= found[0] <= found[-1] <= 65535:
        if found[-1] <= 255:
            return values.astype(np.uint8)
        shades = np.unique(np.round(found / 257.0))
        kept = len(shades) == len(found) and (shades[shades > 0] > MAX_CLASS).all()
        if shades[-1] > MAX_CLASS and (kept or len(shades) > MAX_CLASS + 1):
            return np.round(values / 257.0).astype(np.uint8)
    some = ", ".join(f"{value:g}" for value in found[:6]) + (", ..." if len(found) > 6 else "")
    raise SourceError(
        f"{path}: holds the values {some}; a mask has class numbers, 0 to {MAX_CLASS}, or shades of up to 16 bit, that "
        "is of the whole range 0 to 255 or 0 to 65535; save it as 8-bit PNG with class numbers 0, 1, 2, ..."
    )
