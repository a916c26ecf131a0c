"""Intrapartum views of PSFHS (Sci Data 2024, doi 10.1038/s41597-024-03266-4): 1 pubic symphysis, 2 fetal head.

`image_mha/NNNNN.mha` (3x256x256, channels equal) and `label_mha/NNNNN.mha`. There are no patient numbers, and
neighbouring files are frames of one video, so a contiguous block of files stands in for a patient. No pixel size: the
headers hold a placeholder.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK
from jaxtyping import UInt8

from fulora.intake.raw import RawImage, SourceError


def read_psfhs(folder: Path, block: int) -> Iterator[RawImage]:
    """Every view that has a label.

    Args:
        block: how many neighbouring files count as one patient.

    Raises:
        SourceError: no images, or an image without a label.
    """
    files = sorted((folder / "image_mha").glob("*.mha"))
    if not files:
        raise SourceError(f"{folder / 'image_mha'}: no .mha images; expected PSFHS (Zenodo 10969427)")
    for path in files:
        label = folder / "label_mha" / path.name
        if not label.is_file():
            raise SourceError(f"{label} is not there, but the image {path.name} is")
        block_number = str(int(path.stem) // block)
        yield RawImage(path.stem, "intrapartum", "psfhs", "guangzhou", block_number, partial(_load, path, label))


def _load(image: Path, label: Path) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    pixels = read_mha(image)
    return (pixels[0] if pixels.ndim == 3 else pixels), read_mha(label)


def read_mha(path: Path) -> UInt8[np.ndarray, "..."]:
    """An 8-bit MetaImage.

    Raises:
        SourceError: unreadable or truncated file, or another pixel type.
    """
    try:
        pixels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    except RuntimeError as error:
        raise SourceError(f"{path}: cannot be read as an image; replace or remove it") from error
    if pixels.dtype != np.uint8:
        raise SourceError(f"{path}: expected 8-bit pixels, found {pixels.dtype}")
    return np.asarray(pixels)
