"""Intrapartum views of PSFHS (Sci Data 2024, doi 10.1038/s41597-024-03266-4): 1 pubic symphysis, 2 fetal head.

`image_mha/NNNNN.mha` (3x256x256, channels equal) and `label_mha/NNNNN.mha`; FH-PS-AOP has the same layout, and either
may hold PNGs instead. There are no patient numbers, and neighbouring files are frames of one video, so a contiguous
block of files stands in for a patient. No pixel size: the headers hold a placeholder.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK
from jaxtyping import UInt8
from PIL import Image as Pil

from fulora.intake.decode import read_gray
from fulora.intake.raw import Complain, RawImage, SourceError, refuse

ENDINGS = (".mha", ".png")


def read_psfhs(folder: Path, block: int, complain: Complain = refuse) -> Iterator[RawImage]:
    """Every view that has a label; those without, or with a name that is no number, are told to `complain`.

    Args:
        block: how many neighbouring files count as one patient.

    Raises:
        SourceError: no images.
    """
    files = sorted(path for ending in ENDINGS for path in (folder / "image_mha").glob(f"*{ending}"))
    if not files:
        raise SourceError(f"{folder / 'image_mha'}: no .mha images; expected PSFHS (Zenodo 10969427)")
    for path in files:
        label = folder / "label_mha" / path.name
        if not label.is_file():
            complain(f"{label} is not there, but the image {path.name} is")
        elif not path.stem.isdecimal():
            complain(f"{path}: expected a number as its name; neighbours are told by it")
        else:
            patient, load = str(int(path.stem) // block), partial(_load, path, label)
            yield RawImage(
                path.stem, "intrapartum", "psfhs", "guangzhou", patient, load, path=path, mask_path=label
            )  # fmt: skip


def _load(image: Path, label: Path) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    if image.suffix == ".png":
        return read_gray(image), read_classes(label)
    pixels = read_mha(image)
    return (pixels[0] if pixels.ndim == 3 else pixels), read_mha(label)


def read_classes(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A PNG of class numbers as they stand, gray or palette, never scaled.

    Raises:
        SourceError: unreadable file, or colours instead of numbers.
    """
    read_gray(path)  # every check of a picture file
    with Pil.open(path) as image:
        if image.mode not in ("L", "P", "1"):
            raise SourceError(f"{path}: pixel mode {image.mode}; a mask is gray or palette, its values are classes")
        return np.asarray(image, dtype=np.uint8)


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
