"""FU-LoRA's own lists: real images, synthetic images, and the training images of its LoRA.

Names have no ending. Planes are words (`Fetal brain`, `brain`) or numbers: 0 other, 1 abdomen, 2 brain, 3 cervix,
4 femur, 5 thorax. Real images are those of FETAL_PLANES_DB and have the patient in the name; synthetic ones,
`<index>-<seed>`, have none.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fulora.data.column_types import Plane
from fulora.data.label_set import label_set
from fulora.intake.published_lists import convert_rows, read_rows
from fulora.intake.raw_image import OnSkip, refuse
from fulora.intake.sources.fetal_planes import Half, half_of, patient_of, plane_of

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
        patient: five digits; "" for a synthetic image.
        half: the half of FETAL_PLANES_DB that the list assigns; None if it assigns none.
    """

    name: str
    plane: Plane
    patient: str
    half: Half | None


def read_list(path: Path, on_skip: OnSkip = refuse) -> list[ListedImage]:
    """Read the rows of one list; unusable ones are passed to `on_skip`.

    Raises:
        SourceError: if the list cannot be read, or a column is missing.
    """
    renamed, optional = {"category": "Plane"}, ("Patient_num", "Train")
    rows = read_rows(path, ("Image_name", "Plane"), on_skip, renamed, optional=optional)
    return list(convert_rows(path, rows, "Image_name", _listed_image, on_skip))


def _listed_image(row: dict[str, str]) -> ListedImage:
    name, row = row["Image_name"], {**row, "Plane": WORDS.get(row["Plane"], row["Plane"])}
    patient = "" if SYNTHETIC.fullmatch(name) else patient_of(name, row.get("Patient_num"))
    return ListedImage(name, plane_of(row), patient, half_of(row))


def missing_images(rows: Iterable[ListedImage], folder: Path) -> list[ListedImage]:
    """Return the rows whose image, `<name>.png`, is not in the folder, its plane folders, or `Images`."""
    names = {path.stem for place in ("", "Images", *PLANES) for path in (folder / place).glob("*.png")}
    return [row for row in rows if row.name not in names]
