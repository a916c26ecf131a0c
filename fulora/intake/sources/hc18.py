"""Heads of HC18 (van den Heuvel et al., PLoS ONE 13:e0200412, 2018; Zenodo 1327317), with masks and references.

`training_set/NNN[_k]HC.png` with a filled mask `..._Mask.png` or the published 1-pixel ring `..._Annotation.png`, and
`training_set_pixel_size_and_HC.csv`; `test_set/NNN_HC.png` with `test_set_pixel_size.csv`, without masks or references.
Images of one exam share the numeric prefix (`010_HC`, `010_2HC`), which is taken as the patient. (551 patients, 806
prefixes: a patient may still have two.)
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from fulora.data.column_types import Split
from fulora.intake.formats.decode import read_gray
from fulora.intake.masks.validation import head_mask, validate_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.picture_files import find_pictures, listed_file
from fulora.intake.published_lists import convert_rows, number_in, read_rows
from fulora.intake.raw_image import NOT_LISTED, OnSkip, PixelsAndMask, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs

Part = Literal["training_set", "test_set"]
LIST = "training_set_pixel_size_and_HC.csv"
LISTS: dict[Part, str] = {"training_set": LIST, "test_set": "test_set_pixel_size.csv"}
PUBLISHED: dict[Part, Split] = {"training_set": "train", "test_set": "test"}
SIZE, REFERENCE = "pixel size(mm)", "head circumference (mm)"
NAME = re.compile(r"(\d+)_\d*HC\.png")
MASKS = ("_Mask", "_Annotation")
BRAIN = "brain"


class Hc18Config(FolderSourceConfig):
    """Heads with masks, pixel sizes and reference circumferences (HC18, Zenodo 1327317).

    Attributes:
        part: `training_set` has masks and circumferences, `test_set` has neither.
    """

    kind: Literal["hc18"] = "hc18"
    folder: str = "hc18"
    part: Part = "training_set"

    shipped_labels: ClassVar[str] = "fetal_planes"

    def source_classes(self) -> tuple[str, ...]:
        """Return the brain, one of FU-LoRA's five planes."""
        return (BRAIN,)

    def has_masks(self) -> bool:
        """Return whether it is the training set."""
        return self.part == "training_set"

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every listed head.

        Those without an image, a mask or a pixel size, and unlisted images, are passed to `on_skip`.

        Raises:
            SourceError: if there is no list, a column is missing, or none of the listed images exists.
        """
        folder, path = inputs.required_folder / self.part, inputs.required_folder / LISTS[self.part]
        if not path.is_file():
            raise SourceError(f"{path}: file not found; it belongs to HC18 (Zenodo 1327317)")
        columns = ("filename", SIZE, REFERENCE) if self.has_masks() else ("filename", SIZE)
        rows = read_rows(path, columns, on_skip, measures=(SIZE, REFERENCE))
        files = {file.name: file for file in find_pictures(folder, on_skip)}
        names = {row["filename"] for _, row in rows}
        if files.keys().isdisjoint(names):
            raise SourceError(f"{folder}: none of the {len(rows)} listed images exists")
        masks = {f"{Path(name).stem}{end}.png" for name in names for end in MASKS}
        for name in sorted(files.keys() - names - masks):
            on_skip(f"{files[name]}: {NOT_LISTED} {path.name}")
        used = [files[name] for name in sorted(masks & files.keys())] if self.has_masks() else []
        convert = partial(_read_head, folder, self.part, source_mask_values(folder, used))
        yield from convert_rows(path, rows, "filename", convert, on_skip)


def _read_head(folder: Path, part: Part, values: MaskValues, row: dict[str, str]) -> RawImage:
    image, labelled = listed_file(folder, row["filename"]), part == "training_set"
    match = NAME.fullmatch(row["filename"])
    if match is None:
        raise SourceError(f"{image}: expected a name such as 010_2HC.png; its number is the patient")
    mask = _mask_path(image) if labelled else None
    return RawImage(
        image.stem,
        BRAIN,
        "hc18",
        "nijmegen",
        match[1],
        partial(_load, image, mask, values),
        pixel_size_mm=number_in(row[SIZE], f"{image.name}: {SIZE}", 0.005, 2),
        hc_mm=number_in(row[REFERENCE], f"{image.name}: {REFERENCE}", 20, 600) if labelled else None,
        path=image,
        mask_path=mask,
        published=PUBLISHED[part],
    )


def _mask_path(image: Path) -> Path:
    for ending in MASKS:
        path = image.with_name(f"{image.stem}{ending}.png")
        if path.is_file():
            return listed_file(image.parent, path.name)
    raise SourceError(f"{image}: neither {image.stem}_Mask.png nor {image.stem}_Annotation.png is beside it")


def _load(image: Path, mask: Path | None, values: MaskValues) -> PixelsAndMask:
    pixels = read_gray(image)
    return pixels, None if mask is None else validate_mask(pixels, head_mask(values.read(mask), mask), mask, largest=1)
