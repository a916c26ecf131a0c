"""Heads of HC18 (van den Heuvel et al., PLoS ONE 13:e0200412, 2018; Zenodo 1327317), with masks and references.

`training_set/NNN[_k]HC.png` with a filled mask `..._Mask.png` or the published 1-pixel ring `..._Annotation.png`, and
`training_set_pixel_size_and_HC.csv`; `test_set/NNN_HC.png` with `test_set_pixel_size.csv`, without masks or references.
Exams of one woman share the numeric prefix (`010_HC`, `010_2HC`): that is the patient. (551 women, 806 prefixes: a
prefix is an exam, so a woman may still have two.)
"""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from fulora.intake.decode import read_gray
from fulora.intake.raw import Complain, RawImage, SourceError, refuse, within
from fulora.intake.tables import read_table

Part = Literal["training_set", "test_set"]
LIST = "training_set_pixel_size_and_HC.csv"
LISTS: dict[Part, str] = {"training_set": LIST, "test_set": "test_set_pixel_size.csv"}
SIZE, REFERENCE = "pixel size(mm)", "head circumference (mm)"


def read_hc18(folder: Path, complain: Complain = refuse, part: Part = "training_set") -> Iterator[RawImage]:
    """Every listed head whose image is there; those without a mask or a pixel size are told to `complain`.

    Raises:
        SourceError: no list, a missing column, or no listed image.
    """
    labelled = part == "training_set"
    path = folder / LISTS[part]
    if not path.is_file():
        raise SourceError(f"{path} is not there; it belongs to HC18 (Zenodo 1327317)")
    rows = read_table(path, ("filename", SIZE, REFERENCE) if labelled else ("filename", SIZE))
    present = [row for row in rows if (folder / part / row["filename"]).is_file()]
    if not present:
        raise SourceError(f"{folder / part}: none of the {len(rows)} listed images is there")
    for row in present:
        try:
            yield _head(within(folder / part, row["filename"]), row, labelled)
        except SourceError as error:
            complain(str(error))


def _head(image: Path, row: dict[str, str], labelled: bool) -> RawImage:
    mask = _mask_path(image) if labelled else None
    return RawImage(
        image.stem, "brain", "hc18", "nijmegen", image.name.split("_")[0], partial(_load, image, mask),
        pixel_size_mm=_millimetres(image, row, SIZE), hc_mm=_millimetres(image, row, REFERENCE) if labelled else None,
        path=image, mask_path=mask,
    )  # fmt: skip


def _millimetres(image: Path, row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise SourceError(f"{image.name}: {column} is '{row[column]}'; it must be a positive number of mm")
    return value


def _mask_path(image: Path) -> Path:
    for ending in ("_Mask.png", "_Annotation.png"):
        path = image.with_name(image.stem + ending)
        if path.is_file():
            return path
    raise SourceError(f"{image}: neither {image.stem}_Mask.png nor {image.stem}_Annotation.png is beside it")


def _load(image: Path, mask: Path | None) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"] | None]:
    if mask is None:
        return read_gray(image), None
    filled = ndimage.binary_fill_holes(read_gray(mask) > 127)
    return read_gray(image), np.asarray(filled, dtype=np.uint8)
