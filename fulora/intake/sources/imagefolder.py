"""Hugging Face image folders with `metadata.jsonl` or `metadata.csv`, and so every image set of fulora's own.

The metadata stands in the folder itself, or in each of `train`, `validation` (`valid`, `val`) and `test`; file names
are relative to where it stands. Of its columns, `file_name`, `plane` (or `label`) and `patient` (or `patient_id`) are
needed; `split`, `site`, `source`, `machine`, `pixel_size_mm`, `hc_mm`, `aop_deg`, `caption` (or `text`) and `mask_file`
(or `mask_file_name`, `mask`) are read where they are there. Case, blanks and punctuation of these names do not count;
other columns are told.

Without a label set, and in no image set of fulora's, which has its own, every label is a class.
`split` is the published split, spelled as those folders; it must agree with the folder, and an empty one is none.
Synthetic images are refused: they are mixed with real ones, not curated.
"""

import math
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import ValidationError

from fulora import progress
from fulora.data.image import Image
from fulora.data.label_set import FILE as LABEL_SET
from fulora.data.label_set import LabelSet, read_label_set
from fulora.data.labels import Plane, Split
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.tables.cells import text_of, tidied
from fulora.data.tables.column_names import HeaderError, documented
from fulora.data.tables.json_rows import JsonRowError, json_row
from fulora.intake.folders import find_pictures, listed_file, read_real_picture
from fulora.intake.masks.validation import validate_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.raw_image import MARKED_SYNTHETIC, NOT_LISTED, OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs, SplitRule
from fulora.intake.tables import number_in, read_rows, read_text

METADATA = ("metadata.jsonl", "metadata.csv")
AUDIT = "audit"
"""Folder beside the splits in which curation shows what it removed: its pictures have no rows."""

SPLIT_OF: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
RANGES = {"pixel_size_mm": (0.005, 10.0), "hc_mm": (20.0, 600.0), "aop_deg": (1.0, 180.0)}
"""What a measure can be in life."""

MASKS = ("mask_file", "mask_file_name", "mask")
"""Names of the column of masks: fulora's own, that of `datasets`, and a plain one."""

COLUMNS = (
    "file_name",
    "plane",
    "label",
    "patient",
    "patient_id",
    "split",
    "site",
    "source",
    "machine",
    *RANGES,
    "caption",
    "text",
    *MASKS,
    "origin",
    "is_synthetic",
)

Row = Mapping[str, object]


class ImageFolderConfig(FolderSourceConfig):
    """A Hugging Face imagefolder with `metadata.jsonl` or `metadata.csv`, fulora's own image sets among them.

    A split that its folders or a column `split` name is obeyed, unless `split` asks for another rule.

    Attributes:
        site, source: what images get whose row does not say it.
    """

    kind: Literal["imagefolder"] = "imagefolder"
    split: SplitRule = "as_listed"
    site: str = ""
    source: str = "imagefolder"

    def has_masks(self) -> bool | None:
        """Its metadata decides."""
        return None

    def source_label_set(self, folder: Path | None) -> LabelSet | None:
        """That of an image set of fulora's."""
        return read_label_set(folder) if folder is not None and (folder / LABEL_SET).is_file() else None

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every image with a row; rows that cannot be used and images without a row are told to `on_skip`.

        The rows of an image set of fulora's own come back with the facts they were written with.

        Raises:
            SourceError: no such folder, no metadata, two kinds of it in one place, or metadata that cannot be read.
        """
        return _read(self, inputs.required_folder, on_skip)


def _read(config: ImageFolderConfig, folder: Path, on_skip: OnSkip) -> Iterator[RawImage]:
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    named: set[Path] = set()
    names: set[tuple[str, str]] = set()
    found = {path: list(_rows(path, on_skip)) for path in _metadata(folder)}
    values = source_mask_values(folder, _masks(found))
    for path, rows in found.items():
        for number, row in rows:
            try:
                image = _image(config, folder, path, row, values)
                if image.path in named or (image.source, image.name) in names:
                    raise SourceError(f"{image.name} stands twice; which row counts cannot be known")
            except SourceError as error:
                on_skip(f"{path}, line {number}: {error}")
                continue
            finally:
                named |= {path.parent / str(row.get(key)) for key in ("file_name", *MASKS)}
            names.add((image.source, image.name))
            yield image
    for picture in find_pictures(folder, on_skip):
        if picture not in named and not picture.is_relative_to(folder / AUDIT):
            on_skip(f"{picture}: {NOT_LISTED} {' or '.join(METADATA)}")


def _metadata(folder: Path) -> list[Path]:
    there = sorted(path for path in folder.iterdir() if not path.is_symlink())
    splits = [path for name in SPLIT_OF for path in there if path.name.lower() == name]
    found = []
    for place in (folder, *splits):
        rows = [place / name for name in METADATA if (place / name).is_file()]
        if len(rows) > 1:
            raise SourceError(f"{place}: both {rows[0].name} and {rows[1].name}; which one counts cannot be known")
        found += rows
    if not found:
        raise SourceError(f"{folder}: no {' or '.join(METADATA)}, in itself or in train, validation or test")
    return found


def _masks(rows: Mapping[Path, Sequence[tuple[int, Row]]]) -> list[Path]:
    """The masks that rows name, as far as they are there; what is wrong with the others is told row by row."""
    found = []
    for metadata, named in rows.items():
        for _, row in named:
            with suppress(SourceError):
                if name := _text(row, *MASKS):
                    found.append(listed_file(metadata.parent, name))
    return found


def _rows(path: Path, on_skip: OnSkip) -> Iterator[tuple[int, Row]]:
    if path.suffix == ".csv":
        listed_rows = read_rows(path, ("file_name",), on_skip, optional=COLUMNS, measures=RANGES)
        _tell_others(path, [row for _, row in listed_rows])
        yield from listed_rows
        return
    rows: list[tuple[int, Row]] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                rows.append((number, _renamed(json_row(line))))
            except (JsonRowError, HeaderError) as error:
                on_skip(f"{path}, line {number}: {error}")
    found = tidied([row for _, row in rows if not _is_own(row)])
    for note in found.notes:
        progress.note(f"{path}: {note}")
    _tell_others(path, found.rows)
    tidy = iter(found.rows)
    yield from ((number, row if _is_own(row) else next(tidy)) for number, row in rows)


def _renamed(row: Row) -> Row:
    """A row with documented names; one of fulora's own has them."""
    if _is_own(row):
        return row
    return dict(zip(documented(tuple(row), COLUMNS), row.values(), strict=True))


def _tell_others(path: Path, rows: Sequence[Row]) -> None:
    others = dict.fromkeys(column for row in rows for column in row if column not in COLUMNS)
    if others:
        progress.note(f"{path}: columns that are not read: {', '.join(others)}")


def _published(path: Path, within_folder: Path, row: Row) -> Split | None:
    """The split that a row and the folder name, as far as they do."""
    folder = SPLIT_OF.get(within_folder.parts[0].lower()) if len(within_folder.parts) > 1 else None
    word = _text(row, "split")
    if not word:
        return folder
    said = SPLIT_OF.get(word.casefold())
    if said is None:
        raise SourceError(f"{path.name}: split is '{word}'; it must be one of {', '.join(SPLIT_OF)}, or empty")
    if folder not in (None, said):
        raise SourceError(f"{path.name}: its row says '{said}', its folder '{folder}'")
    return said


def _is_own(row: Row) -> bool:
    """Whether a row is one that fulora wrote: it comes back as it was written."""
    return "sha256" in row and "origin" in row


def _image(config: ImageFolderConfig, folder: Path, metadata: Path, row: Row, values: MaskValues) -> RawImage:
    """The image of a row, as the row says or as fulora wrote it."""
    for key, value in row.items():
        if isinstance(value, float) and math.isinf(value):
            raise SourceError(f"{_text(row, 'file_name')}: {key} is {value}; leave out what is unknown")
    if _text(row, "origin") == "synthetic" or _text(row, "is_synthetic").lower() in ("true", "1"):
        raise SourceError(f"{_text(row, 'file_name')} {MARKED_SYNTHETIC}")
    path = listed_file(metadata.parent, _text(row, "file_name"))
    within_folder = path.relative_to(folder)
    published = _published(path, within_folder, row)
    mask_name = _text(row, *MASKS)
    mask = listed_file(metadata.parent, mask_name) if mask_name else None
    if _is_own(row):
        return _own(path, mask, row, values)
    patient = _text(row, "patient", "patient_id")
    if not patient:
        raise SourceError(f"{path.name}: no patient; give a column patient or patient_id")
    return RawImage(
        within_folder.with_suffix("").as_posix(),
        _class(path, row, config.classes),
        _text(row, "source") or config.source,
        _text(row, "site") or config.site,
        patient,
        partial(_load, path, mask, "", values),
        machine=_text(row, "machine"),
        pixel_size_mm=_measure(path, row, "pixel_size_mm"),
        hc_mm=_measure(path, row, "hc_mm"),
        aop_deg=_measure(path, row, "aop_deg"),
        path=path,
        mask_path=mask,
        published=published,
        caption=_text(row, "caption", "text"),
    )


def _own(path: Path, mask: Path | None, row: Row, values: MaskValues) -> RawImage:
    try:
        image = Image.from_json(dict(row))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SourceError(f"{path.name}: a row of fulora's that breaks its rules: {wrong}") from error
    return RawImage(
        image.image_id.removeprefix(f"{image.source}_"),
        image.plane,
        image.source,
        image.site,
        image.patient,
        partial(_load, path, mask, image.sha256, values),
        machine=image.machine,
        pixel_size_mm=image.pixel_size_mm,
        hc_mm=image.hc_mm,
        aop_deg=image.aop_deg,
        path=path,
        mask_path=mask,
        published=image.split,
        caption=image.caption,
        curated=True,
    )


def _text(row: Row, *columns: str) -> str:
    """The first of the columns that says something, as text; "" if none does."""
    for column in columns:
        value = row.get(column)
        if value is not None and not isinstance(value, str | int | float):
            raise SourceError(f"{column} is {value!r}; it must be text")
        if text := text_of(value):
            return text
    return ""


def _class(path: Path, row: Row, renamed: Container[str]) -> Plane:
    word = _text(row, "plane", "label")
    if word.isdecimal() and word not in renamed:
        raise SourceError(
            f"{path.name}: plane is the number {word}; say what it means: classes: {{{word}: NAME}}, or write the word"
        )
    if not word:
        raise SourceError(f"{path.name}: no class; give a column plane or label, in words")
    return unicodedata.normalize("NFC", word)


def _measure(path: Path, row: Row, column: str) -> float | None:
    value = row.get(column)
    text = text_of(value)
    return number_in(text, f"{path.name}: {column}", *RANGES[column]) if text else None


def _load(
    path: Path, mask: Path | None, sha256: str, values: MaskValues
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"] | None]:
    pixels = read_real_picture(path)
    if sha256 and pixel_digest(pixels) != sha256:
        raise SourceError(f"{path}: its pixels are no longer those that its row was written for (sha256)")
    return pixels, None if mask is None else validate_mask(pixels, values.read(mask), mask)
