"""FU-LoRA's own lists: which real images, which synthetic ones, and which of them its LoRA was trained on.

Names have no ending. Planes are words (`Fetal brain`, `brain`) or numbers: 0 other, 1 abdomen, 2 brain, 3 cervix,
4 femur, 5 thorax. Real images are those of FETAL_PLANES_DB and say their patient in the name; synthetic ones,
`<index>-<seed>`, have none.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fulora.data.label_set import label_set
from fulora.data.labels import Plane
from fulora.intake.raw_image import OnSkip, SourceError, refuse
from fulora.intake.sources.fetal_planes import Half, half_of, patient_of, plane_of
from fulora.intake.tables import read_rows

Kind = Literal["real", "balanced", "other", "synthetic", "lora"]
LISTS: dict[Kind, str] = {
    "real": "all_train_no_cer.csv",
    "balanced": "spain_train_1150_balanced.csv",
    "other": "spain_other_train.csv",
    "synthetic": "synthetic_train_5000.csv",
    "lora": "lora_train_data.csv",
}
"""6,148 real images; 1,150 of them, 230 a plane; the 230 of "other" among these; 5,000 synthetic; 120 for the LoRA."""

PLANES = label_set("fetal_planes_db").names
WORDS = {plane: f"Fetal {plane}" for plane in PLANES} | {"other": "Other", "cervix": "Maternal cervix"}
SYNTHETIC = re.compile(r"\d+-\d+", re.ASCII)


@dataclass(frozen=True)
class ListedImage:
    """One row of a list.

    Attributes:
        name: of the image, without ending.
        plane: one of the six of FETAL_PLANES_DB.
        patient: five digits; "" for a synthetic image.
        half: the half of FETAL_PLANES_DB that the list puts it in; None where it does not say.
        line_number: of the list, from 1; the header is 1.
    """

    name: str
    plane: Plane
    patient: str
    half: Half | None
    line_number: int


def read_lists(folder: Path, on_skip: OnSkip = refuse) -> dict[Kind, list[ListedImage]]:
    """The lists of a folder that are there, by their kind.

    Raises:
        SourceError: none is there, or one cannot be read.
    """
    there: dict[Kind, Path] = {kind: folder / name for kind, name in LISTS.items() if (folder / name).is_file()}
    if not there:
        raise SourceError(f"{folder}: none of FU-LoRA's lists is there: {', '.join(LISTS.values())}")
    return {kind: read_list(path, on_skip) for kind, path in there.items()}


def read_list(path: Path, on_skip: OnSkip = refuse) -> list[ListedImage]:
    """The rows of one list; those that cannot be understood are told to `on_skip`.

    Raises:
        SourceError: the list cannot be read, or a column is missing.
    """
    rows: dict[str, ListedImage] = {}
    renamed, optional = {"category": "Plane"}, ("Patient_num", "Train")
    for number, row in read_rows(path, ("Image_name", "Plane"), on_skip, renamed, optional=optional):
        try:
            image = _listed(row, number)
            if image.name in rows:
                raise SourceError(f"{image.name} stands twice, first in line {rows[image.name].line_number}")
            rows[image.name] = image
        except SourceError as error:
            on_skip(f"{path}, line {number}: {error}")
    return list(rows.values())


def _listed(row: dict[str, str], number: int) -> ListedImage:
    name, row = row["Image_name"], {**row, "Plane": WORDS.get(row["Plane"], row["Plane"])}
    patient = "" if SYNTHETIC.fullmatch(name) else patient_of(name, row.get("Patient_num"))
    return ListedImage(name, plane_of(row), patient, half_of(row), number)


def missing_images(rows: Iterable[ListedImage], folder: Path) -> list[ListedImage]:
    """The rows whose image, `<name>.png`, is neither in the folder nor in one of its plane folders nor in `Images`."""
    places = ("", "Images", *PLANES)
    there = {path.stem for place in places for path in (folder / place).glob("*.png")}
    return [row for row in rows if row.name not in there]
