"""The class of each value that a set of masks holds: class numbers, shades in their order, or what was said."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fulora.intake.masks.noise import APART, SAVE_ADVICE, VALUES_ADVICE, ValuesError, first_values
from fulora.intake.masks.stored_values import MAX_CLASS


def apply_given_classes(values: Iterable[frozenset[int]], given: Mapping[int, int]) -> dict[int, int]:
    """The classes that the user said.

    Raises:
        ValuesError: masks that hold a value of which nothing was said.
    """
    there = set[int]().union(*values)
    if missing := sorted(there - given.keys()):
        raise ValuesError(
            f"--values: the masks hold {first_values(missing)} too", "say which class each value is, 0 for none"
        )
    return dict(given)


def infer_classes(values: Mapping[Path, frozenset[int]], indexed: bool) -> tuple[dict[int, int], str]:
    """The class of each value, and how it is known.

    Args:
        values: the values that each file holds.
        indexed: whether some are the indexes of a palette with colours.

    Raises:
        ValuesError: values that could stand for several classes.
    """
    numbers = set[int]().union(*[found for found in values.values() if max(found) <= MAX_CLASS])
    shades = set[int]().union(*[found for found in values.values() if max(found) > MAX_CLASS])
    there = sorted(numbers | shades)
    if there and there[0] != 0:
        raise ValuesError(
            f"the masks hold the values {first_values(there)} and no 0, the background, such as {next(iter(values))}",
            SAVE_ADVICE,
            VALUES_ADVICE,
        )
    if (shades and indexed) or any(0 < value <= MAX_CLASS for value in shades):
        some = _mixed(values)
        raise ValuesError(
            f"{some}: class numbers and shades in one, {first_values(sorted(values[some]))}", SAVE_ADVICE, VALUES_ADVICE
        )
    groups = _levels(sorted(shades - {0}), values)
    if shades and not numbers - {0} <= set(range(1, len(groups) + 1)):
        raise ValuesError(
            f"some masks hold the class numbers {first_values(sorted(numbers))}, others the shades "
            f"{first_values(sorted(shades))}; "
            f"which is which cannot be known ({_holding(values, max(numbers))}, {_holding(values, max(shades))})",
            SAVE_ADVICE,
            VALUES_ADVICE,
        )
    classes = {0: 0} | {value: value for value in numbers}
    classes |= {value: number for number, group in enumerate(groups, 1) for value in group}
    if not shades:
        return classes, "palette entries" if indexed else "class numbers as they stand"
    return classes, "shades in their order, darkest first" if len(groups) > 1 else "black and one other"


def _mixed(values: Mapping[Path, frozenset[int]]) -> Path:
    """A file with shades, if there is one beside class numbers."""
    shaded = [path for path, found in values.items() if max(found) > MAX_CLASS]
    return next((path for path in shaded if any(0 < value <= MAX_CLASS for value in values[path])), shaded[0])


def _holding(values: Mapping[Path, frozenset[int]], value: int) -> str:
    """The first file that holds a value."""
    return str(next(path for path, found in values.items() if value in found))


def _levels(shades: Sequence[int], values: Mapping[Path, frozenset[int]]) -> list[list[int]]:
    """Shades as classes: those that differ by 1 are one."""
    groups: list[list[int]] = []
    for value in shades:
        if groups and value - groups[-1][-1] <= 1:
            groups[-1].append(value)
        elif groups and value - groups[-1][-1] < APART:
            raise ValuesError(
                f"the masks hold the shades {groups[-1][-1]} and {value}, too close to be told "
                f"({_holding(values, groups[-1][-1])}, {_holding(values, value)})",
                SAVE_ADVICE,
                VALUES_ADVICE,
            )
        else:
            groups.append([value])
    if len(groups) > MAX_CLASS:
        raise ValuesError(
            f"the masks hold {len(groups)} shades; classes are 1 to {MAX_CLASS}", SAVE_ADVICE, VALUES_ADVICE
        )
    return groups
