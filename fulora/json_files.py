"""Files of JSON, read in one way: every error names the file, the line or the field, and what is wrong there."""

import json
from collections import Counter
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


def parse_json(text: str | bytes) -> Any:
    """What a text of JSON holds.

    Raises:
        ValueError: it is not JSON, or gives a key of an object more than once, so that it is unknown which one counts.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {key[:60]!r} is given more than once; leave the one that counts")
    return found


def read_json(path: Path, kind: type[T]) -> T:
    """What a file of JSON holds.

    Args:
        kind: what it must be, such as `list[str]` or a pydantic model.

    Raises:
        DamagedFileError: it cannot be read, is not JSON, gives a key more than once, or holds something else.
    """
    content = _bytes(path)
    try:
        return _parsed(content, kind)
    except ValueError as error:
        raise DamagedFileError(f"{path}: {_what(error)}") from error


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
            found.append(_parsed(line, kind))
        except ValueError as error:
            raise DamagedFileError(f"{path}, line {number}: {_what(error)}") from error
    return found


def _parsed(content: bytes, kind: type[T]) -> T:
    found: T = _adapter(kind).validate_json(content)
    parse_json(content)  # pydantic takes the last of a key's values
    return found


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
"""Made once a type, for that takes pydantic some milliseconds."""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def _what(error: ValueError) -> str:
    said = explained(error) if isinstance(error, ValidationError) else error
    return f"is damaged, or not what fulora wrote ({said})"


def explained(error: ValidationError) -> str:
    """What pydantic found wrong, in one line: each field by its path, at most three of them."""
    lines = [_line(item) for item in error.errors(include_url=False)]
    rest = len(lines) - SHOWN
    return "; ".join(lines[:SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _line(item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if path else message
