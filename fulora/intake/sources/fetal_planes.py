"""FETAL_PLANES_DB (Burgos-Artizzu et al., Sci Rep 10:10200, 2020; Zenodo 3904280): 12,400 planes of 1,792 patients.

`Images/*.png` and `FETAL_PLANES_DB_data.xlsx`, or the same list as CSV with `;`: Image_name, Patient_num, Plane,
Brain_plane, Operator, US_Machine, `Train ` (1 is the published training half). The maternal cervix is a class of its
own. If the label set has none (FU-LoRA's five planes, the default), its images are left out, as in FU-LoRA, and never
become "other". Brain_plane says which standard plane of the brain an image shows: of 12,400 images, 1,638
are trans-thalamic, 714 trans-cerebellum, 597 trans-ventricular, 143 "Other" (a brain, and none of the three), 9,308
"Not A Brain". FU-LoRA's own lists of the same images have commas, fewer columns, and planes as words or as its numbers
0, 1, 2, 4, 5.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from fulora.data.column_types import Plane, Split
from fulora.data.label_set import LabelSet, label_set
from fulora.intake.formats.decode import load_gray
from fulora.intake.picture_files import find_pictures, listed_file
from fulora.intake.published_lists import convert_rows, read_rows
from fulora.intake.raw_image import NOT_LISTED, OnSkip, PassedOver, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs

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
"""Published words, and FU-LoRA's numbers; empty for none of the planes."""


class FetalPlanesConfig(FolderSourceConfig):
    """FETAL_PLANES_DB as published (Burgos-Artizzu 2020, Zenodo 3904280).

    Attributes:
        list_file: another list of its folder with at least the columns Image_name and Plane, such as FU-LoRA's.
        half: only the published training or test half.
        column: the column of the class: `Plane`, or `Brain_plane` for the planes of the brain.
    """

    kind: Literal["fetal_planes"] = "fetal_planes"
    folder: str = "fetal_planes_db"
    list_file: str | None = None
    half: Half | None = None
    column: Column = "Plane"

    def source_classes(self) -> tuple[str, ...]:
        """Return all classes of the column."""
        return label_set("brain_planes" if self.column == "Brain_plane" else "fetal_planes_db").names

    def source_label_set(self, folder: Path | None) -> LabelSet:
        """Return FU-LoRA's five planes, without the cervix; or the planes of the brain."""
        return label_set("brain_planes" if self.column == "Brain_plane" else "fetal_planes")

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every listed image of a plane; unknown planes and missing files are passed to `on_skip`.

        So are, as `PassedOver`, images of none of the planes, and those of the cervix if the label set has none; and,
        with the published list, images that are not on it.

        Raises:
            SourceError: if there is no list, or a column is missing.
        """
        folder, labels = inputs.required_folder, inputs.labels or self.source_label_set(inputs.folder)
        cervix = self.rename_class(CERVIX)
        left_out = ("",) if cervix and labels.named(cervix) else ("", CERVIX)
        path = listed_file(folder, self.list_file) if self.list_file else _find_list(folder)
        required = ("Image_name", self.column, *(("Train",) if self.half else ()))
        columns = required if self.list_file else (*COLUMNS, self.column)
        rows = read_rows(path, columns, on_skip, optional=COLUMNS)
        skipped = Counter[str]()

        def convert(row: dict[str, str]) -> RawImage | None:
            name, plane, published = row["Image_name"], plane_of(row, self.column), half_of(row)
            patient = patient_of(name, row.get("Patient_num"))
            if self.half not in (None, published):
                return None
            if plane in left_out:
                skipped[row[self.column]] += 1
                return None
            image = planes_image(listed_file(folder, f"Images/{name}.png"), plane, patient, published)
            return replace(image, machine=row.get("US_Machine", ""))

        images = convert_rows(path, rows, "Image_name", convert, on_skip)
        yield from (image for image in images if image is not None)
        for word, count in skipped.items():
            on_skip(PassedOver(f"{path}: {count} images of {self.column} '{word}' are of none of the classes"))
        if not self.list_file:
            report_unlisted(folder / "Images", path, {row["Image_name"] for _, row in rows}, on_skip)


def report_unlisted(folder: Path, path: Path, names: Collection[str], on_skip: OnSkip) -> None:
    """Pass every picture of a folder to `on_skip` whose name, without ending, is not among those of a list."""
    for picture in find_pictures(folder, on_skip):
        if picture.stem not in names:
            on_skip(f"{picture}: {NOT_LISTED} {path.name}")


def _find_list(folder: Path) -> Path:
    for name in LISTS:
        if (folder / name).is_file():
            return folder / name
    raise SourceError(f"{folder}: neither {' nor '.join(LISTS)} exists; expected FETAL_PLANES_DB (Zenodo 3904280)")


def plane_of(row: dict[str, str], column: Column = "Plane") -> Plane:
    """Return the plane of a row by one of its columns; "" for none of the planes.

    Raises:
        SourceError: if the plane is unknown.
    """
    known = PLANE_OF[column]
    if row[column] not in known:
        raise SourceError(f"{row['Image_name']}: unknown plane '{row[column]}'; known: {', '.join(known)}")
    return known[row[column]]


def half_of(row: dict[str, str]) -> Half | None:
    """Return the published half of a row; None where the list has no column Train.

    Raises:
        SourceError: if Train is neither 1 nor 0.
    """
    if row.get("Train", "1") not in HALF_OF:
        raise SourceError(f"{row['Image_name']}: Train is '{row['Train']}'; it is 1 (training half) or 0 (test half)")
    return HALF_OF[row["Train"]] if "Train" in row else None


def patient_of(name: str, number: str | None = None) -> str:
    """Return the patient in the name of an image, five digits.

    Args:
        number: Patient_num of a list, which must agree; None where the list has none.

    Raises:
        SourceError: if the name holds no patient, or the number differs.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise SourceError(f"{name}: expected a name such as Patient00188_Plane3_3_of_3; it holds the patient")
    if number is not None and number.zfill(5) != match[1]:
        raise SourceError(f"{name}: Patient_num is '{number}'; it must be the patient in the name, {int(match[1])}")
    return match[1]


def planes_image(path: Path, plane: Plane, patient: str, published: Split | None) -> RawImage:
    """Return an image of FETAL_PLANES_DB."""
    load = partial(load_gray, path)
    return RawImage(path.stem, plane, "fetal_planes_db", "barcelona", patient, load, path=path, published=published)
