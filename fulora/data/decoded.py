"""Pictures that fulora wrote, decoded: whatever is wrong with a file, the error names it."""

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil


class PictureFileError(ValueError):
    """A picture file that is missing, damaged, or none."""


def decoded(path: Path) -> UInt8[np.ndarray, "h w *rgb"]:
    """The pixels of a picture as they are stored: (height, width) gray or (height, width, 3) colour, 0 to 255.

    Raises:
        PictureFileError: it is missing or truncated, no picture, or not of 8 bits a value.
    """
    try:
        with Pil.open(path) as image:
            pixels = np.asarray(image)
    except FileNotFoundError as error:
        raise PictureFileError(f"{path}: the picture is not there") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Pil.DecompressionBombError) as error:
        raise PictureFileError(f"{path}: the picture cannot be read ({error})") from error
    if pixels.dtype != np.uint8:
        raise PictureFileError(f"{path}: the picture is of {pixels.dtype} values, and fulora writes 8 bits")
    return pixels
