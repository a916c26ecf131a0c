"""Writes the picture of a row of an image set, and its mask."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil

from fulora.data.image import Image
from fulora.data.pictures.embedded_metadata import png_info


def write_picture(
    folder: Path, row: Image, pixels: UInt8[np.ndarray, "h w"], mask: UInt8[np.ndarray, "h w"] | None
) -> None:
    """Write the marked PNG that a row names, and its mask if it has one, into the folder of its split."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Pil.fromarray(pixels).save(folder / row.file_name, pnginfo=png_info(row))
    if mask is not None:
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        Pil.fromarray(mask).save(folder / row.mask_file)
