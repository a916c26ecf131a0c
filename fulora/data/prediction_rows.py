"""A table of predictions as it stands in a file: CSV, JSON lines, or the folder of ours, row by row.

What the columns mean, and whether they can be scored, is for `fulora.data.prediction_files`.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fulora.data.labels import PLANES
from fulora.data.results import TABLE

TEXTS = ("image_id", "patient", "site", "true", "predicted", "machine", "sha256")
OURS = {"patient_key": "patient", "plane": "true"}
PREFIX = "probability_"

Row = dict[str, Any]


class PredictionFileError(ValueError):
    """A file of predictions that cannot be scored, or two that cannot be compared."""


def read_rows(path: Path) -> list[Row]:
    """The rows of a file or folder: texts without blanks around them, probabilities in columns of their own.

    Raises:
        PredictionFileError: no such file, no table, or a row that does not fit.
    """
    return [_plain(row) for row in _rows(path)]


def _rows(path: Path) -> Iterator[Row]:
    file = path / TABLE if path.is_dir() else path
    if not file.is_file():
        raise PredictionFileError(f"{file} is not there: give a CSV or JSON-lines file, or a folder of predictions")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PredictionFileError(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}") from error
    if file.suffix in (".jsonl", ".ndjson", ".json"):
        yield from _json_rows(file, text)
    elif file.suffix in (".csv", ".tsv", ".txt"):
        yield from _csv_rows(file, text)
    else:
        raise PredictionFileError(f"{file}: endings that are read are .csv, .tsv, .txt, .jsonl, .ndjson and .json")


def _csv_rows(file: Path, text: str) -> Iterator[Row]:
    lines = text.splitlines()
    header = lines[0] if lines else ""
    reader = csv.DictReader(lines, delimiter=max(",;\t", key=header.count), skipinitialspace=True)
    names = reader.fieldnames or []
    if len(set(names)) < len(names):
        raise PredictionFileError(f"{file}: a column stands twice in {list(names)}")
    for number, row in enumerate(reader, 1):
        if None in row:
            raise PredictionFileError(f"{file}, row {number}: more cells than the {len(names)} columns")
        yield {name.strip(): value for name, value in row.items()}


def _json_rows(file: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise PredictionFileError(f"{file}, line {number}: {error}; JSON lines hold one object a line") from error
        if not isinstance(row, dict):
            raise PredictionFileError(f"{file}, line {number}: no JSON object")
        yield row


def _plain(row: Row) -> Row:
    """Our own names put right, probabilities as columns, and texts without blanks around them."""
    found = {OURS.get(name, name) if OURS.get(name) not in row else name: value for name, value in row.items()}
    given = found.pop("probabilities", None)
    if isinstance(given, list):
        if len(given) != len(PLANES):
            raise PredictionFileError(
                f"image {row.get('image_id')!r}: {len(given)} probabilities; a list stands for {', '.join(PLANES)}, "
                "else give an object with names"
            )
        given = dict(zip(PLANES, given, strict=True))
    for name, value in (given or {}).items():
        found[PREFIX + name] = value
    return {name: _text(value) if name in TEXTS else value for name, value in found.items()}


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
