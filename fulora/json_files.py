"""Files of JSON, read in one way: every error names the file, the line or the field, and what is wrong there."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
SHOWN = 3
"""Errors of one file that are named; the rest are counted."""


class DamagedFileError(ValueError):
    """A file of JSON that cannot be read, or that does not hold what it should."""


def read_json(path: Path, kind: type[T]) -> T:
    """What a file of JSON holds.

    Args:
        kind: what it must be, such as `list[str]` or a pydantic model.

    Raises:
        DamagedFileError: it cannot be read, is not JSON, or holds something else.
    """
    try:
        found: T = _adapter(kind).validate_json(_bytes(path))
    except ValidationError as error:
        raise DamagedFileError(f"{path}: {_what(error)}") from error
    return found


def read_json_lines(path: Path, kind: type[T]) -> list[T]:
    """What a file holds that has one JSON value a line.

    Args:
        kind: what each line must be.

    Raises:
        DamagedFileError: as `read_json`, with the number of the line.
    """
    lines, found = _bytes(path).removesuffix(b"\n").split(b"\n"), list[T]()
    for number, line in enumerate(lines if lines != [b""] else [], 1):
        try:
            found.append(_adapter(kind).validate_json(line))
        except ValidationError as error:
            raise DamagedFileError(f"{path}, line {number}: {_what(error)}") from error
    return found


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
"""Made once a type, for that takes pydantic some milliseconds."""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def _what(error: ValidationError) -> str:
    return f"is damaged, or not what fulora wrote ({explained(error)})"


def explained(error: ValidationError) -> str:
    """What pydantic found wrong, in one line: each field by its path, at most three of them."""
    lines = [_line(item) for item in error.errors(include_url=False)]
    rest = len(lines) - SHOWN
    return "; ".join(lines[:SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _line(item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if path else message
