"""Planes of women from Algeria, Egypt, Ghana, Malawi and Uganda (Sendra-Balcells et al., Sci Rep 13:2728, 2023).

A list `*.csv` with the columns Patient_num, Plane, Center, Image_name beside the PNGs. Patient numbers are unique only
within a centre.
"""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from fulora.data.labels import Plane
from fulora.intake.raw import RawImage, SourceError, read_gray

PLANE_OF: dict[str, Plane] = {
    "Fetal abdomen": "abdomen",
    "Fetal brain": "brain",
    "Fetal femur": "femur",
    "Fetal thorax": "thorax",
    "Other": "other",
}
COLUMNS = ("Patient_num", "Plane", "Center", "Image_name")


def read_african_planes(folder: Path) -> Iterator[RawImage]:
    """Every image in the folder's list.

    Raises:
        SourceError: no list or several, a missing column, an unknown plane.
    """
    lists = sorted(folder.glob("*.csv"))
    if len(lists) != 1:
        raise SourceError(f"{folder}: expected exactly one .csv list, found {len(lists)}")
    with lists[0].open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise SourceError(f"{lists[0]}: columns missing: {', '.join(missing)}")
    for row in rows:
        if row["Plane"] not in PLANE_OF:
            raise SourceError(f"{lists[0]}: unknown plane '{row['Plane']}'; known: {', '.join(PLANE_OF)}")
        plane, load = PLANE_OF[row["Plane"]], partial(_load, folder / f"{row['Image_name']}.png")
        yield RawImage(row["Image_name"], plane, "african_planes", row["Center"], row["Patient_num"], load)


def _load(path: Path) -> tuple[np.ndarray, None]:
    return read_gray(path), None
