"""Checks of the type and range of numbers and switches in the JSON configs of backbones.

diffusers accepts any value, and fails much later in arithmetic, or not at all.
"""

import math
from collections.abc import Mapping
from typing import Any


def is_number(value: object, above: float = -math.inf, below: float = math.inf) -> bool:
    """Return whether a value is a finite number, not a boolean, between two others."""
    return isinstance(value, int | float) and not isinstance(value, bool) and above < value < below


def check_number(
    config: Mapping[str, Any], key: str, where: str, *, above: float = -math.inf, below: float = math.inf
) -> None:
    """Refuse a setting that is present and not a number between two others, both excluded.

    Raises:
        ValueError: if it is not; with the file, the setting, its value, and what is allowed.
    """
    if key in config and not is_number(config[key], above, below):
        raise ValueError(f"{where}: {key} is {config[key]!r}; {_allowed(above, below)} is needed")


def check_count(config: Mapping[str, Any], key: str, where: str, least: int) -> None:
    """Refuse a setting that is present and not a whole number of at least `least`; errors as `check_number`."""
    value = config.get(key, least)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{where}: {key} is {value!r}; a whole number of at least {least} is needed")


def check_numbers(
    config: Mapping[str, Any], key: str, where: str, count: int, *, above: float = -math.inf, below: float = math.inf
) -> None:
    """Refuse a setting that is present, not null, and not `count` numbers between two others, as `check_number`."""
    values = config.get(key)
    if values is None:
        return
    given = values if isinstance(values, list | tuple) else None
    if given is None or len(given) != count or not all(is_number(value, above, below) for value in given):
        shown = repr(values) if given is None or len(given) <= 8 else f"a list of {len(given)} values"
        raise ValueError(f"{where}: {key} is {shown}; {count} numbers are needed, each {_allowed(above, below)}")


def check_switches(config: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Refuse, as `check_number`, settings that are not true, false or null: the text "false" would count as true."""
    for key in keys:
        if not isinstance(config.get(key), bool | None):
            raise ValueError(f"{where}: {key} is {config[key]!r}; true or false is needed")


def _allowed(above: float, below: float) -> str:
    if math.isfinite(below):
        return f"a number above {above:g} and below {below:g}"
    return "a positive number" if above == 0 else "a finite number"
