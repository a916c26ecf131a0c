"""FETAL_PLANES_DB (Burgos-Artizzu et al., Sci Rep 10:10200, 2020; Zenodo 3904280): 12,400 planes of 1,792 women.

`Images/*.png` and `FETAL_PLANES_DB_data.xlsx`, or the same list as CSV with `;`: Image_name, Patient_num, Plane,
Brain_plane, Operator, US_Machine, `Train ` (1 is the published training half). The maternal cervix is a class of its
own there and none of the five planes here: it is left out, as FU-LoRA leaves it out, and never becomes "other". The
same columns stand in FU-LoRA's own lists, with commas, and planes as words or as its numbers 0, 1, 2, 4, 5.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from fulora.data.labels import Plane
from fulora.intake.decode import read_gray
from fulora.intake.raw import Complain, RawImage, SourceError, refuse, within
from fulora.intake.tables import read_table

Half = Literal["train", "test"]
LISTS = ("FETAL_PLANES_DB_data.xlsx", "FETAL_PLANES_DB_data.csv")
COLUMNS = ("Image_name", "Patient_num", "Plane", "US_Machine", "Train")
LEFT_OUT = "Maternal cervix"
PLANE_OF: dict[str, Plane] = {
    "Fetal abdomen": "abdomen",
    "Fetal brain": "brain",
    "Fetal femur": "femur",
    "Fetal thorax": "thorax",
    "Other": "other",
    "1": "abdomen",
    "2": "brain",
    "4": "femur",
    "5": "thorax",
    "0": "other",
}
"""Published words, and FU-LoRA's numbers (3 is the cervix)."""


def read_fetal_planes(
    folder: Path, complain: Complain = refuse, half: Half | None = None, list_file: str | None = None
) -> Iterator[RawImage]:
    """Every listed image but those of the cervix; unknown planes and missing files are told to `complain`.

    Args:
        half: keep only the published training or test half.
        list_file: another list of the folder with the same columns, such as one of FU-LoRA's.
    """
    path = within(folder, list_file) if list_file else _published(folder)
    for row in read_table(path, COLUMNS):
        if row["Plane"] in (LEFT_OUT, "3") or (half and row["Train"] != ("1" if half == "train" else "0")):
            continue
        try:
            yield _image(folder / "Images", row)
        except SourceError as error:
            complain(f"{path.name}: {error}")


def _published(folder: Path) -> Path:
    for name in LISTS:
        if (folder / name).is_file():
            return folder / name
    raise SourceError(f"{folder}: neither {' nor '.join(LISTS)} is there; expected FETAL_PLANES_DB (Zenodo 3904280)")


def _image(folder: Path, row: dict[str, str]) -> RawImage:
    name = row["Image_name"]
    if row["Plane"] not in PLANE_OF:
        raise SourceError(f"{name}: unknown plane '{row['Plane']}'; known: {', '.join(PLANE_OF)}, {LEFT_OUT}")
    path = within(folder, f"{name}.png")
    if not path.is_file():
        raise SourceError(f"{name}: listed, but {path} is not there")
    return RawImage(
        name, PLANE_OF[row["Plane"]], "fetal_planes_db", "barcelona", row["Patient_num"].zfill(5), partial(_load, path),
        machine=row["US_Machine"], path=path,
    )  # fmt: skip


def _load(path: Path) -> tuple[np.ndarray, None]:
    return read_gray(path), None
