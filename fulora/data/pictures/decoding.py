"""Opening and decoding of pictures that fulora wrote; errors name the file."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Pil.DecompressionBombError)
"""Exceptions that Pillow raises for a damaged file."""


class PictureFileError(OSError):
    """A file that is damaged, or not a picture."""


@contextmanager
def open_picture(path: Path) -> Iterator[Pil.Image]:
    """Open a picture file; some damage shows only when its pixels are read.

    Raises:
        FileNotFoundError: if the file is missing.
        PictureFileError: if it is truncated, or not a picture.
    """
    try:
        with Pil.open(path) as image:
            yield image
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise PictureFileError(f"{path}: the picture cannot be read ({error})") from error


def decode_picture(path: Path) -> UInt8[np.ndarray, "h w *rgb"]:
    """Return the pixels of a picture as stored: (height, width) gray or (height, width, 3) colour, 0 to 255.

    Raises:
        PictureFileError: as `open_picture`, or if it does not have 8 bits a value.
    """
    with open_picture(path) as image:
        pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        raise PictureFileError(f"{path}: the picture is of {pixels.dtype} values, and fulora writes 8 bits")
    return pixels
