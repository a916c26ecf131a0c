"""The 100 Spanish planes that FU-LoRA's LoRA was trained on: `<plane>/PatientNNNNN_PlaneP_i_of_n.png`.

FETAL_PLANES_DB, Burgos-Artizzu et al. 2020, Zenodo 3904280. Each folder has one caption for all of its images. The list
beside them, `lora_train_data.csv`, names 20 cervix images that were never published there: the folders are what counts,
and `check_lora_list` compares the two.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from fulora.data.label_set import LabelSet, label_set
from fulora.intake.folders import find_pictures
from fulora.intake.formats.decode import load_gray
from fulora.intake.raw_image import FILE_NOT_FOUND, NOT_LISTED, OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs
from fulora.intake.sources.fetal_planes import patient_of
from fulora.intake.sources.fu_lora_lists import LISTS, read_list
from fulora.intake.sources.kohya import caption_of

LIST = LISTS["lora"]
PLANES = label_set("fetal_planes").names


class LoraPlanesConfig(FolderSourceConfig):
    """FU-LoRA's 100 Spanish training planes: one folder a plane (FETAL_PLANES_DB, Zenodo 3904280)."""

    kind: Literal["lora_planes"] = "lora_planes"
    folder: str = "fetal_planes_lora"

    def source_classes(self) -> tuple[str, ...]:
        """FU-LoRA's five planes."""
        return PLANES

    def source_label_set(self, folder: Path | None) -> LabelSet:
        """FU-LoRA's five planes."""
        return label_set("fetal_planes")

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every image of the five plane folders; names that hold no patient are told to `on_skip`.

        Raises:
            SourceError: a plane folder without images.
        """
        return _read(inputs.required_folder, on_skip)


def _read(folder: Path, on_skip: OnSkip) -> Iterator[RawImage]:
    for plane in PLANES:
        files = find_pictures(folder / plane, on_skip) if (folder / plane).is_dir() else []
        if not files:
            raise SourceError(f"{folder / plane}: no PNG images; expected one folder a plane: {', '.join(PLANES)}")
        for path in files:
            try:
                patient, caption = patient_of(path.stem), caption_of(path)
            except SourceError as error:
                on_skip(f"{path}: {error}")
                continue
            yield RawImage(
                path.stem,
                plane,
                "fetal_planes_db",
                "barcelona",
                patient,
                partial(load_gray, path),
                path=path,
                published="train",
                caption=caption,
            )


def check_lora_list(folder: Path, on_skip: OnSkip = refuse) -> None:
    """Compare the folders with the list beside them: each row and each image without the other is told to `on_skip`.

    Rows of the cervix, of which there is no folder, are left out; `fu_lora_lists.missing_images` counts them.

    Raises:
        SourceError: no list, or a missing column.
    """
    rows = {(row.plane, row.name) for row in read_list(folder / LIST, on_skip) if row.plane in PLANES}
    there = {(plane, path.stem) for plane in PLANES for path in find_pictures(folder / plane, on_skip)}
    for plane, name in sorted(rows - there):
        on_skip(f"{folder / plane / name}.png: {FILE_NOT_FOUND} ({LIST})")
    for plane, name in sorted(there - rows):
        on_skip(f"{folder / plane / name}.png: {NOT_LISTED} {LIST} as {plane}")
