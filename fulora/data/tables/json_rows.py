"""Rows of JSON as other tools write them: one object a line, or a list of objects. NaN and Infinity are read."""

import json
from pathlib import Path
from typing import Any

from fulora.data.tables.delimited import MAX_CELL

BY_ROWS = 'pandas writes rows with `df.to_json(path, orient="records", lines=True)`'


class JsonRowError(ValueError):
    """Text that is not a row of JSON; says why, not where."""


def json_row(text: str) -> dict[str, Any]:
    """Parse the object of one line.

    Raises:
        JsonRowError: no JSON, no object, a table by columns, a key given more than once, a number of more than 4,300
            digits, text that is not Unicode, too deep, or more than 100,000 characters.
    """
    row = _loaded(text)
    if not isinstance(row, dict):
        raise JsonRowError(f"{text[:60]!r} is no JSON object; a row is {{...}}")
    if row and all(isinstance(value, dict | list) for value in row.values()):
        raise JsonRowError(f"{text[:60]!r} is a table by columns, not a row; {BY_ROWS}")
    return row


def json_rows(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    """Parse the rows of a file, each with its number: that of its line, or its place in a list.

    Raises:
        JsonRowError: as `json_row`, with the place.
    """
    if text.lstrip().startswith("["):
        return _listed(path, text)
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found.append((number, json_row(line)))
            except JsonRowError as error:
                advice = "" if BY_ROWS in str(error) else f"; JSON lines hold one object a line; {BY_ROWS}"
                raise JsonRowError(f"{path}, line {number}: {error}{advice}") from error
    return found


def _listed(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        rows = _loaded(text, longest=None)
    except JsonRowError as error:
        raise JsonRowError(
            f"{path}: {error}; a list of rows is [{{...}}, ...], JSON lines hold one object a line"
        ) from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            reason = f"{str(row)[:60]!r} is no JSON object; a row is {{...}}"
            raise JsonRowError(f"{path}, row {number}: {reason}; {BY_ROWS}")
    return list(enumerate(rows, 1))


def _loaded(text: str, longest: int | None = MAX_CELL) -> Any:
    if longest is not None and len(text) > longest:
        raise JsonRowError(f"a row of {len(text):,} characters; allowed are {longest:,}")
    try:
        found = json.loads(text, object_pairs_hook=_once)
        if "\\ud" in text.lower():
            json.dumps(found, ensure_ascii=False).encode()
    except JsonRowError:
        raise
    except (ValueError, RecursionError) as error:
        raise JsonRowError(f"{text[:60]!r} is no JSON ({error})") from error
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = ", ".join(key for key, _ in pairs)
        raise JsonRowError(f"duplicate key among {keys}; which one counts is unknown")
    return row
