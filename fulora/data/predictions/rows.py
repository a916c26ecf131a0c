"""The rows of a table of predictions: CSV, JSON lines, or a folder of fulora.

`fulora.data.predictions.files` interprets the columns and checks whether they can be scored.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fulora.data.label_set import FILE, LabelSet, LabelSetError, read_label_set
from fulora.data.predictions.classes import ClassHints, RequestedClasses, TableClasses, classes_of
from fulora.data.results import TABLE
from fulora.data.tables.cells import clean_rows, comparable_name, text_of
from fulora.data.tables.column_names import HeaderError, rename_columns
from fulora.data.tables.delimited import DelimitedFileError, read_lines, read_text, row_by_column
from fulora.data.tables.json_rows import JsonRowError, json_rows

TEXTS = ("image_id", "patient", "site", "true", "predicted", "machine", "sha256")
OURS = {"patient_key": "patient", "plane": "true"}
PREFIX = "probability_"
NAMES = tuple(name for name in TEXTS if name not in ("true", "predicted"))
"""Columns in which a spelling such as NA means a missing value. A class may be called `none`."""

Row = dict[str, Any]


class PredictionFileError(ValueError):
    """A file of predictions that cannot be scored, or two that cannot be compared."""


class PredictionRows(NamedTuple):
    """The rows of a file.

    Attributes:
        lines: of each row, the number of its line, or its place in a list of JSON.
        missing: by column, numbers of missing cells by spelling.
        classes: of the file.
        notes: messages on how the file was interpreted.
    """

    rows: list[Row]
    lines: list[int]
    classes: TableClasses
    missing: Mapping[str, Counter[str]]
    notes: tuple[str, ...]


def read_rows(path: Path, requested: RequestedClasses = ()) -> PredictionRows:
    """Read the rows of a file or folder: texts stripped, probabilities in columns of their own.

    Case, blanks and punctuation of the names of columns do not count. A missing patient, site, machine, image or digest
    is "", however it is spelled; a missing label stays as it is written.

    Args:
        requested: the label set of the file, or names of classes that it may use.

    Raises:
        PredictionFileError: if there is no such file, it is no table, a row is invalid, or classes are ambiguous.
        LabelSetError: if a folder of fulora has no label set.
    """
    numbered, decimal_commas = _rows(path)
    own = _own_labels(path)
    try:
        classes = classes_of(_class_hints(_headed(path, numbered, ())), requested, own)
    except LabelSetError as error:
        raise PredictionFileError(f"{path}: {error}") from error
    rows = []
    for (number, _), row in zip(numbered, _headed(path, numbered, classes.names), strict=True):
        try:
            rows.append(_plain(row, classes))
        except PredictionFileError as error:
            raise PredictionFileError(f"{path}, line {number}: {error}") from error
    measures = {name for row in rows for name in row} - {*TEXTS} if decimal_commas else set[str]()
    found = clean_rows(rows, NAMES, measures)
    notes = (*found.notes, *classes.notes)
    return PredictionRows(found.rows, [number for number, _ in numbered], classes, found.missing, notes)


def _own_labels(path: Path) -> LabelSet | None:
    if path.is_dir():
        return read_label_set(path)
    return read_label_set(path.parent) if path.name == TABLE and (path.parent / FILE).is_file() else None


def _headed(path: Path, numbered: Sequence[tuple[int, Row]], classes: Sequence[str]) -> list[Row]:
    """Return the rows with the documented names of their columns; names of fulora's own tables are translated."""
    names, rows = dict[tuple[str, ...], list[str]](), []
    for number, row in numbered:
        header = tuple(row)
        try:
            if header not in names:
                names[header] = _documented(header, classes)
        except HeaderError as error:
            raise PredictionFileError(f"{path}, line {number}: {error}") from error
        named_row = dict(zip(names[header], row.values(), strict=True))
        rows.append({OURS.get(k, k) if OURS.get(k) not in named_row else k: value for k, value in named_row.items()})
    return rows


def _documented(header: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Return the documented names of columns, those of probabilities among them."""
    fixed = (*TEXTS, *OURS, "probabilities")
    taken = {comparable_name(name) for name in fixed}
    bare = [name for name in classes if comparable_name(name) not in taken]
    prefixed = [PREFIX + name[len(PREFIX) :] if name.lower().startswith(PREFIX) else name for name in header]
    return rename_columns(prefixed, (*fixed, *bare, *(PREFIX + name for name in classes)))


def _class_hints(rows: Sequence[Row]) -> ClassHints:
    columns = dict.fromkeys(name for row in rows for name in row)
    given = [row["probabilities"] for row in rows if "probabilities" in row]
    objects = dict.fromkeys(str(name) for one in given if isinstance(one, dict) for name in one)
    return ClassHints(
        shown=frozenset(text_of(row[name]) for row in rows for name in ("true", "predicted") if name in row),
        columns=frozenset(columns) - {*TEXTS, "probabilities"},
        probable=(*(name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX)), *objects),
        listed=next((len(one) for one in given if isinstance(one, list)), None),
    )


def _rows(path: Path) -> tuple[list[tuple[int, Row]], bool]:
    """Return the numbered rows, and whether commas in them may be decimal."""
    file = path / TABLE if path.is_dir() else path
    if not file.is_file():
        raise PredictionFileError(f"{file}: file not found: give a CSV or JSON-lines file, or a folder of predictions")
    try:
        if file.suffix in (".jsonl", ".ndjson", ".json"):
            return json_rows(file, read_text(file)), False
        if file.suffix in (".csv", ".tsv", ".txt"):
            return _csv_rows(file)
    except (DelimitedFileError, JsonRowError) as error:
        raise PredictionFileError(str(error)) from error
    raise PredictionFileError(f"{file}: endings that are read are .csv, .tsv, .txt, .jsonl, .ndjson and .json")


def _csv_rows(file: Path) -> tuple[list[tuple[int, Row]], bool]:
    lines, separator = read_lines(file)
    filled = [(number, cells) for number, cells in lines if any(cells)]
    header = filled[0][1] if filled else []
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        raise PredictionFileError(f"{file}: duplicate columns: {', '.join(repeated)}; which one counts is not known")
    for row, (number, cells) in enumerate(filled[1:], 1):
        if len(cells) != len(header):
            more = "more" if len(cells) > len(header) else "fewer"
            raise PredictionFileError(
                f"{file}, line {number}, row {row}: {more} cells than the {len(header)} columns: {len(cells)}"
            )
    return [(number, row_by_column(header, cells)) for number, cells in filled[1:]], separator != ","


def _plain(row: Row, classes: TableClasses) -> Row:
    found = dict(row)
    given = found.pop("probabilities", None)
    if isinstance(given, list):
        given = dict(zip(_listed(row, len(given), classes), given, strict=True))
    if given is not None and not isinstance(given, dict):
        raise PredictionFileError(
            f"image {row.get('image_id')!r}: probabilities is {given!r}; give a list, or an object with names"
        )
    for name, value in (given or {}).items():
        found[PREFIX + name] = value
    return {name: _text(name, value) if name in TEXTS else value for name, value in found.items()}


def _listed(row: Row, count: int, classes: TableClasses) -> tuple[str, ...]:
    if not classes.listed:
        raise PredictionFileError(
            f"image {row.get('image_id')!r}: the order of a list of {count} probabilities is not known; name the "
            "classes in that order (--labels), or give an object with names"
        )
    if count != len(classes.listed):
        raise PredictionFileError(
            f"image {row.get('image_id')!r}: {count} probabilities; a list stands for {', '.join(classes.listed)}, "
            "else give an object with names"
        )
    return classes.listed


def _text(name: str, value: object) -> str:
    if isinstance(value, list | dict) or (isinstance(value, float) and math.isinf(value)):
        raise PredictionFileError(f"{name} is {str(value)[:60]}; it must be text or a number")
    text = "nan" if isinstance(value, float) and math.isnan(value) else text_of(value)
    if "\0" in text:
        raise PredictionFileError(f"{name} is {text[:60]!r}; a text holds no NUL")
    return text
