"""Planes from Algeria, Egypt, Ghana, Malawi and Uganda (Sendra-Balcells et al., Sci Rep 13:2728, 2023).

As published (Zenodo 7540448): `African_planes_database.csv` with Filename, Patient_num, Plane, Train, Center, and
`<Center>/<Filename>.png`. As FU-LoRA has each half: one list with Image_name for Filename, and `<Image_name>.png`
beside it. Names have no ending. `Train` is 1 in the published training half, 0 in the test half. Patient numbers are
unique only within a centre.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from fulora.data.column_types import Plane, Split
from fulora.intake.formats.decode import load_gray
from fulora.intake.picture_files import list_folder, listed_file
from fulora.intake.published_lists import convert_rows, read_rows
from fulora.intake.raw_image import OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs
from fulora.intake.sources.fetal_planes import report_unlisted

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

    shipped_labels: ClassVar[str] = "fetal_planes"

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every image in the folder's list; unusable rows and unlisted images are passed to `on_skip`.

        Raises:
            SourceError: if there is no list or several, or a column is missing.
        """
        folder = inputs.required_folder
        lists = [path for path in list_folder(folder) if path.suffix == ".csv"]
        if len(lists) != 1:
            raise SourceError(f"{folder}: expected exactly one .csv list, there are {len(lists)}")
        rows = read_rows(lists[0], COLUMNS, on_skip, {"Filename": "Image_name"}, optional=("Train",))
        yield from convert_rows(lists[0], rows, "Image_name", partial(_read_image, folder), on_skip)
        report_unlisted(folder, lists[0], {row["Image_name"] for _, row in rows}, on_skip)


def _read_image(folder: Path, row: dict[str, str]) -> RawImage:
    name, plane, center, patient = (row[column] for column in ("Image_name", "Plane", "Center", "Patient_num"))
    if plane not in PLANE_OF:
        raise SourceError(f"{name}: unknown plane '{plane}'; known: {', '.join(PLANE_OF)}")
    if not patient or not center:
        raise SourceError(f"{name}: Patient_num is '{patient}' and Center is '{center}'; both are needed")
    if row.get("Train", "") not in ("", *PUBLISHED):
        raise SourceError(f"{name}: Train is '{row['Train']}'; it is 1 in the training half and 0 in the test half")
    is_flat = not (folder / center).is_dir()
    path = listed_file(folder, f"{name}.png" if is_flat else f"{center}/{name}.png")
    published, load = PUBLISHED.get(row.get("Train", "")), partial(load_gray, path)
    return RawImage(name, PLANE_OF[plane], "african_planes", center, patient, load, path=path, published=published)
