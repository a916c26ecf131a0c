"""Planes of women from Algeria, Egypt, Ghana, Malawi and Uganda (Sendra-Balcells et al., Sci Rep 13:2728, 2023).

A list `*.csv` with the columns Patient_num, Plane, Center, Image_name beside the PNGs. Patient numbers are unique only
within a centre.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from fulora.data.labels import Plane
from fulora.intake.decode import read_gray
from fulora.intake.raw import Complain, RawImage, SourceError, refuse, within
from fulora.intake.tables import read_table

PLANE_OF: dict[str, Plane] = {
    "Fetal abdomen": "abdomen",
    "Fetal brain": "brain",
    "Fetal femur": "femur",
    "Fetal thorax": "thorax",
    "Other": "other",
}
COLUMNS = ("Patient_num", "Plane", "Center", "Image_name")


def read_african_planes(folder: Path, complain: Complain = refuse) -> Iterator[RawImage]:
    """Every image in the folder's list; rows that cannot be used are told to `complain`.

    Raises:
        SourceError: no list or several, a missing column, an unknown plane.
    """
    lists = sorted(folder.glob("*.csv"))
    if len(lists) != 1:
        raise SourceError(f"{folder}: expected exactly one .csv list, found {len(lists)}")
    for row in read_table(lists[0], COLUMNS):
        if row["Plane"] not in PLANE_OF:
            complain(f"{lists[0]}: unknown plane '{row['Plane']}'; known: {', '.join(PLANE_OF)}")
            continue
        try:
            path = within(folder, f"{row['Image_name']}.png")
        except SourceError as error:
            complain(f"{lists[0]}: {error}")
            continue
        yield RawImage(
            row["Image_name"], PLANE_OF[row["Plane"]], "african_planes", row["Center"], row["Patient_num"],
            partial(_load, path), path=path,
        )  # fmt: skip


def _load(path: Path) -> tuple[np.ndarray, None]:
    return read_gray(path), None
