"""Reading JSON files: every error names the file, the line or the field, and what is wrong."""

import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
SHOWN = 3
"""How many errors of a file a message names; the rest are counted."""


class DamagedFileError(ValueError):
    """A JSON file that cannot be read, or whose content is invalid."""


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: if it is not JSON, or a key of an object is a duplicate.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {key[:60]!r} is given more than once; leave the one that counts")
    return result


def read_json(path: Path, kind: type[T]) -> T:
    """Read and validate a JSON file.

    Args:
        kind: the type of the content, such as `list[str]` or a pydantic model.

    Raises:
        DamagedFileError: if it cannot be read, is not JSON, has a duplicate key, or is of another type.
    """
    content = _bytes(path)
    try:
        return _parsed(content, kind)
    except ValueError as error:
        raise DamagedFileError(f"{path}: {_describe(error)}") from error


def read_json_lines(path: Path, kind: type[T]) -> list[T]:
    """Read and validate a file with a JSON value on each line.

    Args:
        kind: the type of each value.

    Raises:
        DamagedFileError: as `read_json`, with the line's number.
    """
    lines = _bytes(path).removesuffix(b"\n").split(b"\n")
    values: list[T] = []
    for number, line in enumerate(lines if lines != [b""] else [], 1):
        try:
            values.append(_parsed(line, kind))
        except ValueError as error:
            raise DamagedFileError(f"{path}, line {number}: {_describe(error)}") from error
    return values


def _parsed(content: bytes, kind: type[T]) -> T:
    value: T = _adapter(kind).validate_json(content)
    parse_json(content)  # refuses duplicate keys, of which pydantic takes the last
    return value


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
"""Cached, as pydantic takes some milliseconds to build one."""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def _describe(error: ValueError) -> str:
    cause = explained(error) if isinstance(error, ValidationError) else error
    return f"is damaged, or not what fulora wrote ({cause})"


def explained(error: ValidationError) -> str:
    """Describe an error of pydantic in one line: each field by its path, at most three of them."""
    lines = [_line(item) for item in error.errors(include_url=False)]
    rest = len(lines) - SHOWN
    return "; ".join(lines[:SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _line(item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if path else message
