"""Heads of HC18 (van den Heuvel et al., PLoS ONE 13:e0200412, 2018; Zenodo 1327317), with masks and references.

`training_set/NNN[_k]HC.png` with a filled mask `..._Mask.png` or the published 1-pixel ring `..._Annotation.png`, and
`training_set_pixel_size_and_HC.csv`; `test_set/NNN_HC.png` with `test_set_pixel_size.csv`, without masks or references.
Exams of one woman share the numeric prefix (`010_HC`, `010_2HC`): that is the patient. (551 women, 806 prefixes: a
prefix is an exam, so a woman may still have two.)
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from fulora.data.label_set import LabelSet, label_set
from fulora.data.labels import Split
from fulora.intake.folders import find_pictures, listed_file
from fulora.intake.formats.decode import read_gray
from fulora.intake.masks.validation import head_mask, validate_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.raw_image import NOT_LISTED, OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs
from fulora.intake.tables import number_in, read_rows

Part = Literal["training_set", "test_set"]
LIST = "training_set_pixel_size_and_HC.csv"
LISTS: dict[Part, str] = {"training_set": LIST, "test_set": "test_set_pixel_size.csv"}
PUBLISHED: dict[Part, Split] = {"training_set": "train", "test_set": "test"}
SIZE, REFERENCE = "pixel size(mm)", "head circumference (mm)"
NAME = re.compile(r"(\d+)_\d*HC\.png")
MASKS = ("_Mask", "_Annotation")
BRAIN = "brain"


class Hc18Config(FolderSourceConfig):
    """Heads with masks, pixel sizes and reference circumferences (HC18, Zenodo 1327317)."""

    kind: Literal["hc18"] = "hc18"
    folder: str = "hc18"
    part: Part = "training_set"

    def source_classes(self) -> tuple[str, ...]:
        """The brain."""
        return (BRAIN,)

    def has_masks(self) -> bool:
        """In the training set."""
        return self.part == "training_set"

    def source_label_set(self, folder: Path | None) -> LabelSet:
        """FU-LoRA's five planes, of which it shows one."""
        return label_set("fetal_planes")

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every listed head.

        Those without an image, a mask or a pixel size, and images on no list, are told to `on_skip`.

        Raises:
            SourceError: no list, a missing column, or no listed image.
        """
        return _read(inputs.required_folder, self.part, on_skip)


def _read(folder: Path, part: Part, on_skip: OnSkip) -> Iterator[RawImage]:
    labelled = part == "training_set"
    path = folder / LISTS[part]
    if not path.is_file():
        raise SourceError(f"{path} is not there; it belongs to HC18 (Zenodo 1327317)")
    columns = ("filename", SIZE, REFERENCE) if labelled else ("filename", SIZE)
    rows = [row for _, row in read_rows(path, columns, on_skip, measures=(SIZE, REFERENCE))]
    there = {file.name: file for file in find_pictures(folder / part, on_skip)}
    names = [row["filename"] for row in rows]
    if there.keys().isdisjoint(names):
        raise SourceError(f"{folder / part}: none of the {len(rows)} listed images is there")
    for name in sorted(there.keys() - names - {f"{Path(name).stem}{end}.png" for name in names for end in MASKS}):
        on_skip(f"{there[name]}: {NOT_LISTED} {path.name}")
    drawn = {f"{Path(name).stem}{end}.png" for name in names for end in MASKS} if labelled else set()
    values = source_mask_values(folder / part, [there[name] for name in sorted(drawn & there.keys())])
    seen: set[str] = set()
    for row in rows:
        try:
            if row["filename"] in seen:
                raise SourceError(f"{path}: {row['filename']} stands twice; which row counts cannot be known")
            seen.add(row["filename"])
            yield _head(folder / part, row, part, values)
        except SourceError as error:
            on_skip(str(error))


def _head(folder: Path, row: dict[str, str], part: Part, values: MaskValues) -> RawImage:
    image, labelled = listed_file(folder, row["filename"]), part == "training_set"
    match = NAME.fullmatch(row["filename"])
    if match is None:
        raise SourceError(f"{image}: expected a name such as 010_2HC.png; its number tells the patient")
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


def _load(
    image: Path, mask: Path | None, values: MaskValues
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"] | None]:
    pixels = read_gray(image)
    return pixels, None if mask is None else validate_mask(pixels, head_mask(values.read(mask), mask), mask, largest=1)
