"""Hugging Face image folders with `metadata.jsonl` or `metadata.csv`, and so every image set of fulora's own.

The metadata is in the folder itself, or in each of `train`, `validation` (`valid`, `val`) and `test`; file names are
relative to it. Columns `file_name`, `plane` (or `label`) and `patient` (or `patient_id`) are required; `split`, `site`,
`source`, `machine`, `pixel_size_mm`, `hc_mm`, `aop_deg`, `caption` (or `text`) and `mask_file` (or `mask_file_name`,
`mask`) are optional. Case, blanks and punctuation of these names are ignored; other columns are reported.

Without a label set, every label is a class, except in image sets of fulora, which have their own.
`split` is the published split, spelled as those folders; it must agree with the folder, and may be empty.
Synthetic images are refused: they are mixed with real ones, not curated.
"""

import math
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fulora import progress
from fulora.data.column_types import Plane, Split
from fulora.data.image import Image
from fulora.data.label_set import FILE as LABEL_SET
from fulora.data.label_set import LabelSet, read_label_set
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.tables.cells import clean_rows, text_of
from fulora.data.tables.column_names import HeaderError, rename_columns
from fulora.data.tables.json_rows import JsonRowError, json_row
from fulora.intake.formats.gray_picture import read_real_picture
from fulora.intake.masks.validation import read_valid_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.picture_files import find_pictures, listed_file
from fulora.intake.published_lists import number_in, read_rows, read_text
from fulora.intake.raw_image import MARKED_SYNTHETIC, NOT_LISTED, OnSkip, PixelsAndMask, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs, SplitRule
from fulora.intake.sources.class_folders import load_pair

METADATA = ("metadata.jsonl", "metadata.csv")
AUDIT = "audit"
"""Folder beside the splits in which curation documents what it removed: its pictures have no rows."""

GENERATED, OVERVIEW = "generation.json", "overview.png"
"""Of a generated set: the file that says how it was made, and a picture of its first images, which has no row."""

SPLIT_OF: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
RANGES = {"pixel_size_mm": (0.005, 10.0), "hc_mm": (20.0, 600.0), "aop_deg": (1.0, 180.0)}
"""Plausible values of measures."""

MASKS = ("mask_file", "mask_file_name", "mask")
"""Names of the column of masks: fulora's own, that of `datasets`, and a plain one."""

CLASS = ("plane", "label")
PATIENT = ("patient", "patient_id")
CAPTION = ("caption", "text")
COLUMNS = (
    *("file_name", *CLASS, *PATIENT, "split", "site", "source", "machine"),
    *(*RANGES, *CAPTION, *MASKS, "origin", "is_synthetic"),
)

Row = Mapping[str, object]


class ImageFolderConfig(FolderSourceConfig):
    """A Hugging Face imagefolder with `metadata.jsonl` or `metadata.csv`, fulora's own image sets among them.

    The splits of its folders or of its column `split` are kept, unless the setting `split` names another rule.

    Attributes:
        site, source: defaults for rows without them.
    """

    kind: Literal["imagefolder"] = "imagefolder"
    split: SplitRule = "as_listed"
    site: str = ""
    source: str = "imagefolder"

    def has_masks(self) -> bool | None:
        """Return None: its metadata decides."""
        return None

    def source_label_set(self, folder: Path | None) -> LabelSet | None:
        """Return the label set of an image set of fulora."""
        return read_label_set(folder) if folder is not None and (folder / LABEL_SET).is_file() else None

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every image with a row; unusable rows and images without a row are passed to `on_skip`.

        Rows of an image set of fulora keep all their metadata.

        Raises:
            SourceError: if there is no such folder, or its metadata is missing, unreadable, or in two files.
        """
        folder = inputs.required_folder
        if not folder.is_dir():
            raise SourceError(f"{folder}: no such folder")
        listed: set[Path] = set()
        names: set[tuple[str, str]] = set()
        rows_of = {path: list(_read_rows(path, on_skip)) for path in _find_metadata(folder)}
        values = source_mask_values(folder, _existing_masks(rows_of))
        for path, rows in rows_of.items():
            for number, row in rows:
                try:
                    image = _read_image(self, folder, path, row, values)
                    if image.path in listed or (image.source, image.name) in names:
                        raise SourceError(f"{image.name} is a duplicate; which row is right is unknown")
                except SourceError as error:
                    on_skip(f"{path}, line {number}: {error}")
                    continue
                finally:
                    listed |= {path.parent / str(row.get(key)) for key in ("file_name", *MASKS)}
                names.add((image.source, image.name))
                yield image
        for picture in find_pictures(folder, on_skip):
            if picture not in listed and not _is_beside_rows(folder, picture):
                on_skip(f"{picture}: {NOT_LISTED} {' or '.join(METADATA)}")


def _is_beside_rows(folder: Path, picture: Path) -> bool:
    """Return whether fulora wrote the picture beside the images of a set."""
    overview = picture == folder / OVERVIEW and (folder / GENERATED).is_file()
    return overview or picture.is_relative_to(folder / AUDIT)


def _find_metadata(folder: Path) -> list[Path]:
    folders = sorted(path for path in folder.iterdir() if not path.is_symlink())
    splits = [path for name in SPLIT_OF for path in folders if path.name.lower() == name]
    paths = []
    for parent in (folder, *splits):
        files = [parent / name for name in METADATA if (parent / name).is_file()]
        if len(files) > 1:
            raise SourceError(f"{parent}: both {files[0].name} and {files[1].name}; which one is right is unknown")
        paths += files
    if not paths:
        raise SourceError(f"{folder}: no {' or '.join(METADATA)}, in itself or in train, validation or test")
    return paths


def _existing_masks(rows_of: Mapping[Path, Sequence[tuple[int, Row]]]) -> list[Path]:
    """Return the masks that rows name and that exist; errors are reported row by row."""
    masks = []
    for metadata, rows in rows_of.items():
        for _, row in rows:
            with suppress(SourceError):
                if name := _text(row, *MASKS):
                    masks.append(listed_file(metadata.parent, name))
    return masks


def _read_rows(path: Path, on_skip: OnSkip) -> Iterator[tuple[int, Row]]:
    if path.suffix == ".csv":
        csv_rows = read_rows(path, ("file_name",), on_skip, optional=COLUMNS, measures=RANGES)
        _note_other_columns(path, [row for _, row in csv_rows])
        yield from csv_rows
        return
    rows: list[tuple[int, Row]] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                rows.append((number, _rename_columns(json_row(line))))
            except (JsonRowError, HeaderError) as error:
                on_skip(f"{path}, line {number}: {error}")
    tidy = clean_rows([row for _, row in rows if not _is_fulora_row(row)])
    for note in tidy.notes:
        progress.note(f"{path}: {note}")
    _note_other_columns(path, tidy.rows)
    others = iter(tidy.rows)
    yield from ((number, row if _is_fulora_row(row) else next(others)) for number, row in rows)


def _rename_columns(row: Row) -> Row:
    """Return a row with the documented column names, which rows of fulora have already."""
    if _is_fulora_row(row):
        return row
    return dict(zip(rename_columns(tuple(row), COLUMNS), row.values(), strict=True))


def _note_other_columns(path: Path, rows: Sequence[Row]) -> None:
    others = dict.fromkeys(column for row in rows for column in row if column not in COLUMNS)
    if others:
        progress.note(f"{path}: columns that are not read: {', '.join(others)}")


def _published_split(path: Path, relative: Path, row: Row) -> Split | None:
    """Return the split of a row and its folder; None where neither names one."""
    of_folder = SPLIT_OF.get(relative.parts[0].lower()) if len(relative.parts) > 1 else None
    word = _text(row, "split")
    if not word:
        return of_folder
    of_row = SPLIT_OF.get(word.casefold())
    if of_row is None:
        raise SourceError(f"{path.name}: split is '{word}'; it must be one of {', '.join(SPLIT_OF)}, or empty")
    if of_folder not in (None, of_row):
        raise SourceError(f"{path.name}: split is '{of_row}' in its row, but '{of_folder}' by its folder")
    return of_row


def _is_fulora_row(row: Row) -> bool:
    """Return whether fulora wrote the row, so that it is read back unchanged."""
    return "sha256" in row and "origin" in row


def _read_image(config: ImageFolderConfig, folder: Path, metadata: Path, row: Row, values: MaskValues) -> RawImage:
    for key, value in row.items():
        if isinstance(value, float) and math.isinf(value):
            raise SourceError(f"{_text(row, 'file_name')}: {key} is {value}; leave out unknown values")
    if _text(row, "origin") == "synthetic" or _text(row, "is_synthetic").lower() in ("true", "1"):
        raise SourceError(f"{_text(row, 'file_name')} {MARKED_SYNTHETIC}")
    path = listed_file(metadata.parent, _text(row, "file_name"))
    relative = path.relative_to(folder)
    published = _published_split(path, relative, row)
    mask_name = _text(row, *MASKS)
    mask = listed_file(metadata.parent, mask_name) if mask_name else None
    if _is_fulora_row(row):
        return _read_fulora_image(path, mask, row, values)
    patient = _text(row, *PATIENT)
    if not patient:
        raise SourceError(f"{path.name}: no patient; add a column {' or '.join(PATIENT)}")
    return RawImage(
        relative.with_suffix("").as_posix(),
        _class_of(path, row, config.classes),
        _text(row, "source") or config.source,
        _text(row, "site") or config.site,
        patient,
        partial(load_pair, path, mask, values),
        machine=_text(row, "machine"),
        pixel_size_mm=_measure(path, row, "pixel_size_mm"),
        hc_mm=_measure(path, row, "hc_mm"),
        aop_deg=_measure(path, row, "aop_deg"),
        path=path,
        mask_path=mask,
        published=published,
        caption=_text(row, *CAPTION),
    )


def _read_fulora_image(path: Path, mask: Path | None, row: Row, values: MaskValues) -> RawImage:
    try:
        image = Image.from_json(dict(row))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SourceError(f"{path.name}: an invalid row of a fulora image set: {wrong}") from error
    return RawImage(
        image.image_id.removeprefix(f"{image.source}_"),
        image.plane,
        image.source,
        image.site,
        image.patient,
        partial(_load_unchanged, path, mask, image.sha256, values),
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
    """Return the first of the columns that is not empty, as text; "" if all are."""
    for column in columns:
        value = row.get(column)
        if value is not None and not isinstance(value, str | int | float):
            raise SourceError(f"{column} is {value!r}; it must be text")
        if text := text_of(value):
            return text
    return ""


def _class_of(path: Path, row: Row, renamed: Container[str]) -> Plane:
    word = _text(row, *CLASS)
    if word.isdecimal() and word not in renamed:
        raise SourceError(f"{path.name}: plane is the number {word}; set its name, classes: {{{word}: NAME}}")
    if not word:
        raise SourceError(f"{path.name}: no class; add a column {' or '.join(CLASS)}, in words")
    return unicodedata.normalize("NFC", word)


def _measure(path: Path, row: Row, column: str) -> float | None:
    text = text_of(row.get(column))
    return number_in(text, f"{path.name}: {column}", *RANGES[column]) if text else None


def _load_unchanged(path: Path, mask: Path | None, sha256: str, values: MaskValues) -> PixelsAndMask:
    pixels = read_real_picture(path)
    if sha256 and pixel_digest(pixels) != sha256:
        raise SourceError(f"{path}: its pixels have changed since its row was written (sha256)")
    return pixels, read_valid_mask(pixels, mask, values)
