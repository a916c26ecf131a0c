"""Pictures that fulora wrote, opened and decoded: whatever is wrong with a file, the error names it."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Pil.DecompressionBombError)
"""What Pillow raises of a file that is damaged."""


class PictureFileError(OSError):
    """A picture file that is damaged, or no picture."""


@contextmanager
def open_picture(path: Path) -> Iterator[Pil.Image]:
    """A picture file, open; what is wrong with it may show only when its pixels are asked for.

    Raises:
        FileNotFoundError: it is not there.
        PictureFileError: it is truncated, or no picture.
    """
    try:
        with Pil.open(path) as image:
            yield image
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise PictureFileError(f"{path}: the picture cannot be read ({error})") from error


def decode_picture(path: Path) -> UInt8[np.ndarray, "h w *rgb"]:
    """The pixels of a picture as they are stored: (height, width) gray or (height, width, 3) colour, 0 to 255.

    Raises:
        PictureFileError: as `open_picture`, or it is not of 8 bits a value.
    """
    with open_picture(path) as image:
        pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        raise PictureFileError(f"{path}: the picture is of {pixels.dtype} values, and fulora writes 8 bits")
    return pixels
