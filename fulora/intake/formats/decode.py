"""Picture files as 8-bit gray: nothing is clipped, nothing is guessed, and a hostile file is one clear error."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil
from PIL import ImageOps, UnidentifiedImageError

from fulora.intake.raw_image import FILE_NOT_FOUND, SourceError

T = TypeVar("T")

MAX_PIXELS = 64_000_000
"""A larger picture is refused before it is decoded: no ultrasound frame comes near, decompression bombs do."""

EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


def read_gray(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A picture file as (height, width) gray, 0 to 255, upright.

    Colour becomes luma (ITU-R BT.601); what is transparent lies on black; an EXIF orientation is applied. 16-bit
    values are divided by 257, which maps the whole range 0..65535 to 0..255.

    Raises:
        SourceError: missing, unreadable, truncated or huge file, several frames, a depth without a stated range
            (32-bit), or 16-bit values that use only the lowest 12 bits, which would come out black.
    """
    return read_gray_and_info(path)[0]


def load_gray(path: Path) -> tuple[UInt8[np.ndarray, "h w"], None]:
    """`read_gray` as `RawImage.load` gives it: a picture that has no mask."""
    return read_gray(path), None


def read_gray_and_info(
    path: Path, content: bytes | None = None
) -> tuple[UInt8[np.ndarray, "h w"], dict[str | tuple[int, int], object]]:
    """`read_gray`, and what the file says beside its pixels, wherever in it that stands (Pillow's `Image.info`).

    Args:
        content: of the file, where it is not on the disk by itself.

    Raises:
        SourceError: as `read_gray`.
    """
    return read_with_pillow(path, lambda image: (_to_gray(path, upright(image)), dict(image.info)), content=content)


def read_with_pillow(
    path: Path,
    of: Callable[[Pil.Image], T],
    modes: tuple[str, ...] = EIGHT_BIT + SIXTEEN_BIT,
    content: bytes | None = None,
) -> T:
    """What `of` makes of an opened picture file, whose size, frames and pixel mode were checked before.

    Pillow gets an open file: given a path, it maps the pixels of an uncompressed TIFF whose orientation is a quarter
    turn with width and height exchanged, and shows a distorted picture.

    Args:
        modes: pixel modes that are allowed, as Pillow names them.
        content: of the file, where it is not on the disk by itself; `path` is then its name in messages.

    Raises:
        SourceError: as `read_gray`, or as `of` does.
    """
    try:
        with path.open("rb") if content is None else BytesIO(content) as file, Pil.open(file) as image:
            _check(path, image, modes)
            return of(image)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: {FILE_NOT_FOUND}") from error
    except (Pil.DecompressionBombError, Pil.DecompressionBombWarning) as error:
        raise SourceError(f"{path}: more than {MAX_PIXELS:,} pixels; that is no ultrasound frame") from error
    except SourceError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise SourceError(f"{path}: cannot be read as an image ({error}); replace or remove it") from error


def upright(image: Pil.Image) -> Pil.Image:
    """The picture turned as its EXIF orientation says."""
    return ImageOps.exif_transpose(image)


def _check(path: Path, image: Pil.Image, modes: tuple[str, ...]) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise SourceError(f"{path}: {image.width} x {image.height} is more than {MAX_PIXELS:,} pixels")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise SourceError(f"{path}: holds {frames} frames; save the ones you want as files of their own")
    if image.mode not in modes:
        raise SourceError(f"{path}: pixel mode {image.mode} has no stated range; convert it to 8 or 16 bit first")


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
    """16-bit values over their whole range as 8 bit.

    Raises:
        SourceError: nothing above the lowest 12 bits is used: the true range is not 16 bit, and is not known.
    """
    largest = int(values.max(initial=0))
    if 0 < largest < 4096:
        raise SourceError(
            f"{name}: a 16-bit picture whose largest value is {largest} would come out black; "
            "it holds 8 to 12 bits: rescale it to 0..65535, or save it as 8 bit"
        )
    return np.asarray(np.round(values.astype(np.float64) / 257), dtype=np.uint8)
