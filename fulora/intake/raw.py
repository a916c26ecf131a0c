"""`RawImage`: one picture as a source has it, before it is resized and put into a split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil
from PIL import UnidentifiedImageError

from fulora.data.labels import Plane


class SourceError(ValueError):
    """A source that cannot be read as the layout it should have."""


@dataclass(frozen=True)
class RawImage:
    """One picture of a source and what the source says of it.

    Attributes:
        load: returns the gray picture (height, width) and its mask of class numbers, or None.
    """

    name: str
    plane: Plane
    source: str
    site: str
    patient: str
    load: Callable[[], tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"] | None]]
    machine: str = ""
    pixel_size_mm: float | None = None
    hc_mm: float | None = None
    aop_deg: float | None = None


def read_gray(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A picture file as (height, width) gray, 0 to 255.

    Raises:
        SourceError: missing, unreadable or truncated file, or a depth that would be clipped.
    """
    try:
        with Pil.open(path) as image:
            if image.mode not in ("L", "RGB", "RGBA", "P", "1", "LA"):
                raise SourceError(
                    f"{path}: pixel mode {image.mode} is not 8-bit gray or colour; convert it to 8 bit first"
                )
            return np.asarray(image.convert("L"))
    except FileNotFoundError as error:
        raise SourceError(f"{path}: listed, but the file is not there") from error
    except (UnidentifiedImageError, OSError) as error:
        raise SourceError(f"{path}: cannot be read as an image ({error}); replace or remove it") from error
