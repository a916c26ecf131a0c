"""Intrapartum views of PSFHS (Sci Data 2024, doi 10.1038/s41597-024-03266-4): 1 pubic symphysis, 2 fetal head.

`image_mha/NNNNN.mha` (3x256x256, channels equal) and `label_mha/NNNNN.mha`; FH-PS-AOP has the same layout, and either
may hold PNGs instead. There are no patient numbers, and neighbouring files are frames of one video, so a contiguous
block of files is treated as a patient. There is no pixel size: the headers hold a placeholder.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PositiveInt

from fulora.intake.formats.gray_picture import read_picture
from fulora.intake.masks.validation import validate_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.picture_files import find_pictures, listed_file
from fulora.intake.raw_image import OnSkip, PixelsAndMask, RawImage, SourceError, convert_each, refuse
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

    shipped_labels: ClassVar[str] = "intrapartum"

    def has_masks(self) -> bool:
        """Return True: every image has a mask."""
        return True

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every view with a label; the others, and labels without a view, are passed to `on_skip`.

        Raises:
            SourceError: if there are no images.
        """
        images, labels = inputs.required_folder / "image_mha", inputs.required_folder / "label_mha"
        files = find_pictures(images, on_skip, ENDINGS) if images.is_dir() else []
        if not files:
            raise SourceError(f"{images}: no .mha images; expected PSFHS (Zenodo 10969427)")
        label_files = find_pictures(labels, on_skip, ENDINGS) if labels.is_dir() else []
        names = {path.name for path in files}
        values = source_mask_values(labels, [label for label in label_files if label.name in names])
        yield from convert_each(files, partial(_read_view, labels, self.block, values), on_skip)
        for label in label_files:
            if label.name not in names:
                on_skip(f"{label}: a label without an image; {images.name}/{label.name} does not exist")


def _read_view(labels: Path, block: int, values: MaskValues, path: Path) -> RawImage:
    if not (labels / path.name).is_file():
        raise SourceError(f"{labels / path.name}: file not found, but there is an image {path.name}")
    if not re.fullmatch("[0-9]{1,9}", path.stem):
        raise SourceError(f"{path}: expected a number as its name, which orders neighbouring frames")
    label, patient = listed_file(labels, path.name), str(int(path.stem) // block)
    load = partial(_load, path, label, values)
    return RawImage(path.stem, "intrapartum", "psfhs", "guangzhou", patient, load, path=path, mask_path=label)


def _load(image: Path, label: Path, values: MaskValues) -> PixelsAndMask:
    pixels = read_picture(image)
    return pixels, validate_mask(pixels, values.read(label), label, LARGEST)
