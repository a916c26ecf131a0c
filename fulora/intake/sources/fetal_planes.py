"""FETAL_PLANES_DB (Burgos-Artizzu et al., Sci Rep 10:10200, 2020; Zenodo 3904280): 12,400 planes of 1,792 women.

`Images/*.png` and `FETAL_PLANES_DB_data.xlsx`, or the same list as CSV with `;`: Image_name, Patient_num, Plane,
Brain_plane, Operator, US_Machine, `Train ` (1 is the published training half). The maternal cervix is a class of its
own there. Where the label set has none (FU-LoRA's five planes, the default), it is left out, as FU-LoRA leaves it out,
and never becomes "other". Brain_plane says which standard plane of the brain an image shows: of 12,400 images, 1,638
are trans-thalamic, 714 trans-cerebellum, 597 trans-ventricular, 143 "Other" (a brain, and none of the three), 9,308
"Not A Brain". FU-LoRA's own lists of the same images have commas, fewer columns, and planes as words or as its numbers
0, 1, 2, 4, 5.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from fulora.data.label_set import LabelSet, label_set
from fulora.data.labels import Plane, Split
from fulora.intake.folders import find_pictures, listed_file
from fulora.intake.formats.decode import load_gray
from fulora.intake.raw_image import NOT_LISTED, OnSkip, PassedOver, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs
from fulora.intake.tables import read_rows

Half = Literal["train", "test"]
HALF_OF: dict[str, Half] = {"1": "train", "0": "test"}
LISTS = ("FETAL_PLANES_DB_data.xlsx", "FETAL_PLANES_DB_data.csv")
COLUMNS = ("Image_name", "Patient_num", "Plane", "US_Machine", "Train")
NAME = re.compile(r"Patient(\d+)_Plane\d_\d+_of_\d+", re.ASCII)
Column = Literal["Plane", "Brain_plane"]
CERVIX = "cervix"
PLANE_OF: dict[Column, dict[str, Plane]] = {
    "Plane": {
        "Fetal abdomen": "abdomen",
        "Fetal brain": "brain",
        "Fetal femur": "femur",
        "Fetal thorax": "thorax",
        "Other": "other",
        "Maternal cervix": CERVIX,
        "1": "abdomen",
        "2": "brain",
        "3": CERVIX,
        "4": "femur",
        "5": "thorax",
        "0": "other",
    },
    "Brain_plane": {
        "Trans-thalamic": "trans-thalamic",
        "Trans-cerebellum": "trans-cerebellum",
        "Trans-ventricular": "trans-ventricular",
        "Other": "",
        "Not A Brain": "",
    },
}
"""Published words, and FU-LoRA's numbers; empty for what is none of the planes."""


class FetalPlanesConfig(FolderSourceConfig):
    """FETAL_PLANES_DB as published (Burgos-Artizzu 2020, Zenodo 3904280).

    Attributes:
        list_file: another list of its folder with at least the columns Image_name and Plane, such as FU-LoRA's.
        half: only the published training or test half.
        column: where its list says what an image shows: `Plane`, or `Brain_plane` for the planes of the brain.
    """

    kind: Literal["fetal_planes"] = "fetal_planes"
    folder: str = "fetal_planes_db"
    list_file: str | None = None
    half: Half | None = None
    column: Column = "Plane"

    def source_classes(self) -> tuple[str, ...]:
        """All classes of the column."""
        return label_set("brain_planes" if self.column == "Brain_plane" else "fetal_planes_db").names

    def source_label_set(self, folder: Path | None) -> LabelSet:
        """FU-LoRA's five planes, without the cervix; or the planes of the brain."""
        return label_set("brain_planes" if self.column == "Brain_plane" else "fetal_planes")

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every listed image of a plane; unknown planes and missing files are told to `on_skip`.

        Told as passed over: images of none of the planes, and those of the cervix where the label set has none. With
        the published list, images that are not on it are told as well.

        Raises:
            SourceError: no list, or a missing column.
        """
        labels = inputs.labels or self.source_label_set(inputs.folder)
        cervix = self.rename_class(CERVIX)
        left_out = ("",) if cervix and labels.named(cervix) else ("", CERVIX)
        return _read(self, inputs.required_folder, left_out, on_skip)


def _read(config: FetalPlanesConfig, folder: Path, left_out: Collection[Plane], on_skip: OnSkip) -> Iterator[RawImage]:
    path = listed_file(folder, config.list_file) if config.list_file else _published(folder)
    fewer = ("Image_name", config.column, *(("Train",) if config.half else ()))
    columns = fewer if config.list_file else (*COLUMNS, config.column)
    seen: set[str] = set()
    none = Counter[str]()
    for number, row in read_rows(path, columns, on_skip, optional=COLUMNS):
        name = row["Image_name"]
        try:
            if name in seen:
                raise SourceError(f"{name} stands twice; which row counts cannot be known")
            seen.add(name)
            plane, published = plane_of(row, config.column), half_of(row)
            patient = patient_of(name, row.get("Patient_num"))
            if config.half not in (None, published):
                continue
            if plane in left_out:
                none[row[config.column]] += 1
            else:
                yield _image(listed_file(folder, f"Images/{name}.png"), row, plane, patient, published)
        except SourceError as error:
            on_skip(f"{path}, line {number}: {error}")
    for word, count in none.items():
        on_skip(PassedOver(f"{path}: {count} images of {config.column} '{word}' are of none of the classes"))
    for image in () if config.list_file else find_pictures(folder / "Images", on_skip):
        if image.stem not in seen:
            on_skip(f"{image}: {NOT_LISTED} {path.name}")


def _published(folder: Path) -> Path:
    for name in LISTS:
        if (folder / name).is_file():
            return folder / name
    raise SourceError(f"{folder}: neither {' nor '.join(LISTS)} is there; expected FETAL_PLANES_DB (Zenodo 3904280)")


def plane_of(row: dict[str, str], column: Column = "Plane") -> Plane:
    """The plane of a row by one of its columns; "" for what is none of the planes.

    Raises:
        SourceError: an unknown word.
    """
    known = PLANE_OF[column]
    if row[column] not in known:
        raise SourceError(f"{row['Image_name']}: unknown plane '{row[column]}'; known: {', '.join(known)}")
    return known[row[column]]


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
        row["Image_name"],
        plane,
        "fetal_planes_db",
        "barcelona",
        patient,
        partial(load_gray, path),
        machine=row.get("US_Machine", ""),
        path=path,
        published=published,
    )
