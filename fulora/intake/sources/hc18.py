"""Heads of HC18 (van den Heuvel et al., PLoS ONE 13:e0200412, 2018; Zenodo 1327317), with masks and references.

`training_set/NNN[_k]HC.png` with a filled mask `..._Mask.png` or the published 1-pixel ring `..._Annotation.png`, and
`training_set_pixel_size_and_HC.csv`. Exams of one woman share the numeric prefix (`010_HC`, `010_2HC`): that is the
patient. (551 women, 806 prefixes: a prefix is an exam, so a woman may still have two.)
"""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from fulora.intake.raw import RawImage, SourceError, read_gray

LIST = "training_set_pixel_size_and_HC.csv"
COLUMNS = ("filename", "pixel size(mm)", "head circumference (mm)")


def read_hc18(folder: Path) -> Iterator[RawImage]:
    """Every listed head whose image is there.

    Raises:
        SourceError: no list, a missing column, no listed image, or an image without a mask.
    """
    path = folder / LIST
    if not path.is_file():
        raise SourceError(f"{path} is not there; it belongs to HC18 (Zenodo 1327317)")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise SourceError(f"{path}: columns missing: {', '.join(missing)}")
    present = [row for row in rows if (folder / "training_set" / row["filename"]).is_file()]
    if not present:
        raise SourceError(f"{folder / 'training_set'}: none of the {len(rows)} listed images is there")
    for row in present:
        image = folder / "training_set" / row["filename"]
        pixel_size_mm, hc_mm = float(row[COLUMNS[1]]), float(row[COLUMNS[2]])
        load = partial(_load, image, _mask_path(image))
        exam = image.name.split("_")[0]
        yield RawImage(image.stem, "brain", "hc18", "nijmegen", exam, load, pixel_size_mm=pixel_size_mm, hc_mm=hc_mm)


def _mask_path(image: Path) -> Path:
    for ending in ("_Mask.png", "_Annotation.png"):
        path = image.with_name(image.stem + ending)
        if path.is_file():
            return path
    raise SourceError(f"{image}: neither {image.stem}_Mask.png nor {image.stem}_Annotation.png is beside it")


def _load(image: Path, mask: Path) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    filled = ndimage.binary_fill_holes(read_gray(mask) > 127)
    return read_gray(image), np.asarray(filled, dtype=np.uint8)
