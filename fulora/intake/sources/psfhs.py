"""Intrapartum views of PSFHS (Sci Data 2024, doi 10.1038/s41597-024-03266-4): 1 pubic symphysis, 2 fetal head.

`image_mha/NNNNN.mha` (3x256x256, channels equal) and `label_mha/NNNNN.mha`; FH-PS-AOP has the same layout, and either
may hold PNGs instead. There are no patient numbers, and neighbouring files are frames of one video, so a contiguous
block of files stands in for a patient. No pixel size: the headers hold a placeholder.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import PositiveInt

from fulora.data.label_set import LabelSet, label_set
from fulora.intake.folders import find_pictures, listed_file
from fulora.intake.formats.decode import read_gray
from fulora.intake.formats.metaimage import one_channel, read_mha
from fulora.intake.masks.validation import validate_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.raw_image import OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs

ENDINGS = (".mha", ".png")
LARGEST = 2


class PsfhsConfig(FolderSourceConfig):
    """Intrapartum views with pubic symphysis and fetal head masks (PSFHS, Zenodo 10969427).

    Attributes:
        block: how many neighbouring files count as one patient.
    """

    kind: Literal["psfhs"] = "psfhs"
    folder: str = "psfhs"
    block: PositiveInt = 20

    def source_classes(self) -> tuple[str, ...]:
        """The intrapartum view."""
        return label_set("intrapartum").names

    def has_masks(self) -> bool:
        """Always."""
        return True

    def source_label_set(self, folder: Path | None) -> LabelSet:
        """The intrapartum view."""
        return label_set("intrapartum")

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every view that has a label; those without, or with a name that is no number, are told to `on_skip`.

        So are labels without a view.

        Raises:
            SourceError: no images.
        """
        return _read(inputs.required_folder, self.block, on_skip)


def _read(folder: Path, block: int, on_skip: OnSkip) -> Iterator[RawImage]:
    images, labels = folder / "image_mha", folder / "label_mha"
    files = find_pictures(images, on_skip, ENDINGS) if images.is_dir() else []
    if not files:
        raise SourceError(f"{images}: no .mha images; expected PSFHS (Zenodo 10969427)")
    drawn = find_pictures(labels, on_skip, ENDINGS) if labels.is_dir() else []
    known = {path.name for path in files}
    values = source_mask_values(labels, [label for label in drawn if label.name in known])
    for path in files:
        label = labels / path.name
        try:
            if not label.is_file():
                raise SourceError(f"{label} is not there, but the image {path.name} is")
            if not re.fullmatch("[0-9]{1,9}", path.stem):
                raise SourceError(f"{path}: expected a number as its name; neighbours are told by it")
            label = listed_file(labels, path.name)
        except SourceError as error:
            on_skip(str(error))
            continue
        patient, load = str(int(path.stem) // block), partial(_load, path, label, values)
        yield RawImage(path.stem, "intrapartum", "psfhs", "guangzhou", patient, load, path=path, mask_path=label)
    for label in drawn:
        if label.name not in known:
            on_skip(f"{label}: a label without an image; {images.name}/{label.name} is not there")


def _load(image: Path, label: Path, values: MaskValues) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    pixels = read_gray(image) if image.suffix.lower() == ".png" else one_channel(read_mha(image), image)
    return pixels, validate_mask(pixels, values.read(label), label, LARGEST)
