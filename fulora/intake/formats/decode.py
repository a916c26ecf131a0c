"""Picture files as 8-bit gray, without clipping; damaged and malicious files raise SourceError."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil
from PIL import ImageOps, UnidentifiedImageError

from fulora.intake.raw_image import FILE_NOT_FOUND, PixelsAndMask, SourceError

T = TypeVar("T")

MAX_PIXELS = 64_000_000
"""Larger pictures are refused before decoding: they may be decompression bombs."""

EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


def read_gray(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Read a picture file as (height, width) gray, 0 to 255, upright.

    Colour becomes luma (ITU-R BT.601); transparent pixels are composed over black; an EXIF orientation is applied.
    16-bit values are divided by 257, which maps 0..65535 to 0..255.

    Raises:
        SourceError: if the file is missing, unreadable, truncated or huge, or holds several frames, a depth of unknown
            range (32-bit), or 16-bit values that use only the lowest 12 bits.
    """
    return read_gray_and_info(path)[0]


def load_gray(path: Path) -> PixelsAndMask:
    """Read a picture without a mask, as `RawImage.load` returns it."""
    return read_gray(path), None


def read_gray_and_info(
    path: Path, content: bytes | None = None
) -> tuple[UInt8[np.ndarray, "h w"], dict[str | tuple[int, int], object]]:
    """Read a picture by `read_gray`, with the metadata of the file (Pillow's `Image.info`).

    Raises:
        SourceError: as `read_gray`.
    """
    return read_with_pillow(
        path, lambda image: (_to_gray(path, ImageOps.exif_transpose(image)), dict(image.info)), content=content
    )


def read_with_pillow(
    path: Path,
    convert: Callable[[Pil.Image], T],
    modes: tuple[str, ...] = EIGHT_BIT + SIXTEEN_BIT,
    content: bytes | None = None,
) -> T:
    """Open a picture file by Pillow, check its size, frames and pixel mode, and convert it.

    Pillow gets an open file: by path, it distorts uncompressed TIFFs whose orientation is a rotation by 90 degrees.

    Args:
        content: of the file, where it is not a file on disk; `path` is then its name in messages.

    Raises:
        SourceError: as `read_gray`, or as `convert`.
    """
    try:
        with path.open("rb") if content is None else BytesIO(content) as file, Pil.open(file) as image:
            _check(path, image, modes)
            return convert(image)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: {FILE_NOT_FOUND}") from error
    except (Pil.DecompressionBombError, Pil.DecompressionBombWarning) as error:
        raise SourceError(f"{path}: more than {MAX_PIXELS:,} pixels, too large for an ultrasound frame") from error
    except SourceError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise SourceError(f"{path}: cannot be read as an image ({error}); replace or remove it") from error


def _check(path: Path, image: Pil.Image, modes: tuple[str, ...]) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise SourceError(f"{path}: {image.width} x {image.height} is more than {MAX_PIXELS:,} pixels")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise SourceError(f"{path}: holds {frames} frames; save each frame as a file of its own")
    if image.mode not in modes:
        raise SourceError(f"{path}: pixel mode {image.mode} has an unknown range; convert it to 8 or 16 bit")


def _to_gray(path: Path, image: Pil.Image) -> UInt8[np.ndarray, "h w"]:
    if image.mode in SIXTEEN_BIT:
        return from_sixteen_bit(np.asarray(image), str(path))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        colour = image.convert("RGBA")
        image = Pil.alpha_composite(Pil.new("RGBA", colour.size, (0, 0, 0, 255)), colour)
    elif image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def from_sixteen_bit(values: np.ndarray, name: str) -> UInt8[np.ndarray, "..."]:
    """Convert 16-bit values to 8 bit.

    Raises:
        SourceError: if only the lowest 12 bits are used: the true range is then unknown.
    """
    largest = int(values.max(initial=0))
    if 0 < largest < 4096:
        raise SourceError(
            f"{name}: a 16-bit picture whose largest value is {largest} would come out black; "
            "it holds 8 to 12 bits: rescale it to 0..65535, or save it as 8 bit"
        )
    return np.asarray(np.round(values.astype(np.float64) / 257), dtype=np.uint8)
