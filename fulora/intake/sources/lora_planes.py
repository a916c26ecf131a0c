"""The 100 Spanish planes that FU-LoRA's LoRA was trained on: `<plane>/PatientNNNNN_PlaneP_i_of_n.png`.

FETAL_PLANES_DB, Burgos-Artizzu et al. 2020, Zenodo 3904280. Each folder has one caption for all of its images. The list
beside them, `lora_train_data.csv`, names 20 cervix images that were never published: the folders are read.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from fulora.data.column_types import Plane
from fulora.data.label_set import label_set
from fulora.intake.picture_files import find_pictures
from fulora.intake.raw_image import OnSkip, RawImage, SourceError, convert_each, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs
from fulora.intake.sources.fetal_planes import patient_of, planes_image
from fulora.intake.sources.kohya import caption_of

PLANES = label_set("fetal_planes").names


class LoraPlanesConfig(FolderSourceConfig):
    """FU-LoRA's 100 Spanish training planes: one folder per plane (FETAL_PLANES_DB, Zenodo 3904280)."""

    kind: Literal["lora_planes"] = "lora_planes"
    folder: str = "fetal_planes_lora"

    shipped_labels: ClassVar[str] = "fetal_planes"

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every image of the five plane folders; names without a patient are passed to `on_skip`.

        Raises:
            SourceError: if a plane folder has no images.
        """
        for plane in PLANES:
            folder = inputs.required_folder / plane
            files = find_pictures(folder, on_skip) if folder.is_dir() else []
            if not files:
                raise SourceError(f"{folder}: no PNG images; expected one folder per plane: {', '.join(PLANES)}")
            yield from convert_each(files, partial(_read_image, plane), on_skip)


def _read_image(plane: Plane, path: Path) -> RawImage:
    try:
        patient, caption = patient_of(path.stem), caption_of(path)
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
    image = planes_image(path, plane, patient, "train")
    return replace(image, caption=caption)
