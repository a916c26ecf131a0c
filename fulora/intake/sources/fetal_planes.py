"""FETAL_PLANES_DB (Burgos-Artizzu et al., Sci Rep 10:10200, 2020; Zenodo 3904280): 12,400 planes of 1,792 women.

`Images/*.png` and `FETAL_PLANES_DB_data.xlsx`, or the same list as CSV with `;`: Image_name, Patient_num, Plane,
Brain_plane, Operator, US_Machine, `Train ` (1 is the published training half). The maternal cervix is a class of its
own there and none of the five planes here: it is left out, as FU-LoRA leaves it out, and never becomes "other".
FU-LoRA's own lists of the same images have commas, fewer columns, and planes as words or as its numbers 0, 1, 2, 4, 5.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from fulora.data.labels import Plane, Split
from fulora.intake.decode import load_gray
from fulora.intake.folders import listed, pictures_in
from fulora.intake.raw import NOT_LISTED, Complain, RawImage, SourceError, refuse
from fulora.intake.tables import read_rows

Half = Literal["train", "test"]
HALF_OF: dict[str, Half] = {"1": "train", "0": "test"}
LISTS = ("FETAL_PLANES_DB_data.xlsx", "FETAL_PLANES_DB_data.csv")
COLUMNS = ("Image_name", "Patient_num", "Plane", "US_Machine", "Train")
FEWER = ("Image_name", "Plane")
NAME = re.compile(r"Patient(\d+)_Plane\d_\d+_of_\d+", re.ASCII)
LEFT_OUT = "Maternal cervix"
PLANE_OF: dict[str, Plane | None] = {
    "Fetal abdomen": "abdomen",
    "Fetal brain": "brain",
    "Fetal femur": "femur",
    "Fetal thorax": "thorax",
    "Other": "other",
    LEFT_OUT: None,
    "1": "abdomen",
    "2": "brain",
    "4": "femur",
    "5": "thorax",
    "0": "other",
    "3": None,
}
"""Published words, and FU-LoRA's numbers; None for the cervix."""


def read_fetal_planes(
    folder: Path, complain: Complain = refuse, half: Half | None = None, list_file: str | None = None
) -> Iterator[RawImage]:
    """Every listed image but those of the cervix; unknown planes and missing files are told to `complain`.

    With the published list, so are images that are not on it.

    Args:
        half: keep only the published training or test half.
        list_file: another list of the folder with at least the columns Image_name and Plane, such as FU-LoRA's.

    Raises:
        SourceError: no list, or a missing column.
    """
    path = listed(folder, list_file) if list_file else _published(folder)
    columns = (*FEWER, "Train") if half and list_file else FEWER if list_file else COLUMNS
    seen: set[str] = set()
    for number, row in read_rows(path, columns, complain, optional=COLUMNS):
        name = row["Image_name"]
        try:
            if name in seen:
                raise SourceError(f"{name} stands twice; which row counts cannot be known")
            seen.add(name)
            plane, published, patient = plane_of(row), half_of(row), patient_of(name, row.get("Patient_num"))
            if plane and half in (None, published):
                yield _image(listed(folder, f"Images/{name}.png"), row, plane, patient, published)
        except SourceError as error:
            complain(f"{path}, line {number}: {error}")
    for image in () if list_file else pictures_in(folder / "Images", complain):
        if image.stem not in seen:
            complain(f"{image}: {NOT_LISTED} {path.name}")


def _published(folder: Path) -> Path:
    for name in LISTS:
        if (folder / name).is_file():
            return folder / name
    raise SourceError(f"{folder}: neither {' nor '.join(LISTS)} is there; expected FETAL_PLANES_DB (Zenodo 3904280)")


def plane_of(row: dict[str, str]) -> Plane | None:
    """The plane of a row; None for the cervix.

    Raises:
        SourceError: an unknown plane.
    """
    if row["Plane"] not in PLANE_OF:
        raise SourceError(f"{row['Image_name']}: unknown plane '{row['Plane']}'; known: {', '.join(PLANE_OF)}")
    return PLANE_OF[row["Plane"]]


def half_of(row: dict[str, str]) -> Half | None:
    """The published half of a row; None where the list has no column Train.

    Raises:
        SourceError: a value that is no half.
    """
    if row.get("Train", "1") not in HALF_OF:
        raise SourceError(f"{row['Image_name']}: Train is '{row['Train']}'; it is 1 (training half) or 0 (test half)")
    return HALF_OF[row["Train"]] if "Train" in row else None


def patient_of(name: str, number: str | None = None) -> str:
    """The patient in the name of an image, five digits.

    Args:
        number: Patient_num of a list, which must agree; None where the list has none.

    Raises:
        SourceError: a name without a patient, or another number.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise SourceError(f"{name}: expected a name such as Patient00188_Plane3_3_of_3; it tells the patient")
    if number is not None and number.zfill(5) != match[1]:
        raise SourceError(f"{name}: Patient_num is '{number}'; it must be the patient in the name, {int(match[1])}")
    return match[1]


def _image(path: Path, row: dict[str, str], plane: Plane, patient: str, published: Split | None) -> RawImage:
    return RawImage(
        row["Image_name"], plane, "fetal_planes_db", "barcelona", patient, partial(load_gray, path),
        machine=row.get("US_Machine", ""), path=path, published=published,
    )  # fmt: skip
