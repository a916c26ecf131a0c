"""Planes of women from Algeria, Egypt, Ghana, Malawi and Uganda (Sendra-Balcells et al., Sci Rep 13:2728, 2023).

As published (Zenodo 7540448): `African_planes_database.csv` with Filename, Patient_num, Plane, Train, Center, and
`<Center>/<Filename>.png`. As FU-LoRA has each half: one list with Image_name for Filename, and `<Image_name>.png`
beside it. Names have no ending. `Train` is 1 in the published training half, 0 in the test half. Patient numbers are
unique only within a centre.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from fulora.data.label_set import LabelSet, label_set
from fulora.data.labels import Plane, Split
from fulora.intake.folders import find_pictures, list_folder, listed_file
from fulora.intake.formats.decode import load_gray
from fulora.intake.raw_image import NOT_LISTED, OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs
from fulora.intake.tables import read_rows

PLANE_OF: dict[str, Plane] = {
    "Fetal abdomen": "abdomen",
    "Fetal brain": "brain",
    "Fetal femur": "femur",
    "Fetal thorax": "thorax",
    "Other": "other",
}
COLUMNS = ("Patient_num", "Plane", "Center", "Image_name")
PUBLISHED: dict[str, Split | None] = {"1": "train", "0": "test"}


class AfricanPlanesConfig(FolderSourceConfig):
    """Planes from five African countries with their list (Sendra-Balcells 2023, Zenodo 7540448)."""

    kind: Literal["african_planes"] = "african_planes"
    folder: str = "african/african_train"

    def source_classes(self) -> tuple[str, ...]:
        """FU-LoRA's five planes."""
        return label_set("fetal_planes").names

    def source_label_set(self, folder: Path | None) -> LabelSet:
        """FU-LoRA's five planes."""
        return label_set("fetal_planes")

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every image in the folder's list; rows that cannot be used and images on no list are told to `on_skip`.

        Raises:
            SourceError: no list or several, or a missing column.
        """
        return _read(inputs.required_folder, on_skip)


def _read(folder: Path, on_skip: OnSkip) -> Iterator[RawImage]:
    lists = [path for path in list_folder(folder) if path.suffix == ".csv"]
    if len(lists) != 1:
        raise SourceError(f"{folder}: expected exactly one .csv list, found {len(lists)}")
    rows = read_rows(lists[0], COLUMNS, on_skip, {"Filename": "Image_name"}, optional=("Train",))
    seen: set[str] = set()
    for number, row in rows:
        try:
            if row["Image_name"] in seen:
                raise SourceError(f"{row['Image_name']} stands twice; which row counts cannot be known")
            seen.add(row["Image_name"])
            yield _image(folder, row)
        except SourceError as error:
            on_skip(f"{lists[0]}, line {number}: {error}")
    for path in find_pictures(folder, on_skip):
        if path.stem not in seen:
            on_skip(f"{path}: {NOT_LISTED} {lists[0].name}")


def _image(folder: Path, row: dict[str, str]) -> RawImage:
    name, plane, center, patient = (row[column] for column in ("Image_name", "Plane", "Center", "Patient_num"))
    if plane not in PLANE_OF:
        raise SourceError(f"{name}: unknown plane '{plane}'; known: {', '.join(PLANE_OF)}")
    if not patient or not center:
        raise SourceError(f"{name}: Patient_num is '{patient}' and Center is '{center}'; both tell the patient")
    if row.get("Train", "") not in ("", *PUBLISHED):
        raise SourceError(f"{name}: Train is '{row['Train']}'; it is 1 in the training half and 0 in the test half")
    flat = not (folder / center).is_dir()
    path = listed_file(folder, f"{name}.png" if flat else f"{center}/{name}.png")
    return RawImage(
        name,
        PLANE_OF[plane],
        "african_planes",
        center,
        patient,
        partial(load_gray, path),
        path=path,
        published=PUBLISHED.get(row.get("Train", "")),
    )
