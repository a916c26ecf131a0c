"""The class of each value of a set of masks: class numbers, shades in order, or the user's mapping."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from fulora.intake.masks.noise import APART, SAVE_ADVICE, ValuesError, first_values
from fulora.intake.masks.stored_values import MAX_CLASS


def apply_given_classes(values: Iterable[frozenset[int]], given: Mapping[int, int]) -> dict[int, int]:
    """Return the user's classes.

    Raises:
        ValuesError: if the masks hold a value without a class.
    """
    if missing := sorted(set[int]().union(*values) - given.keys()):
        raise ValuesError(f"--values: the masks also hold {first_values(missing)}", "give every class, 0 for none", "")
    return dict(given)


def infer_classes(values: Mapping[Path, frozenset[int]], indexed: bool) -> tuple[dict[int, int], str]:
    """Return the class of each value, and a description of the rule.

    Args:
        indexed: whether some are indexes of a palette with colours.

    Raises:
        ValuesError: if values are ambiguous.
    """
    numbers = set[int]().union(*[held for held in values.values() if max(held) <= MAX_CLASS])
    shades = set[int]().union(*[held for held in values.values() if max(held) > MAX_CLASS])
    everything = sorted(numbers | shades)
    if everything and everything[0] != 0:
        some, file = first_values(everything), next(iter(values))
        raise ValuesError(f"the masks hold the values {some}, but no background (0): {file}")
    if (shades and indexed) or any(0 < value <= MAX_CLASS for value in shades):
        path = _first_with_shades(values)
        raise ValuesError(f"{path}: class numbers and shades in one, {first_values(sorted(values[path]))}")
    groups = _levels(sorted(shades - {0}), values)
    if shades and not numbers - {0} <= set(range(1, len(groups) + 1)):
        raise ValuesError(
            f"some masks hold the class numbers {first_values(sorted(numbers))}, others the shades "
            f"{first_values(sorted(shades))}; their correspondence is unknown ({_first_file(values, max(numbers))}, "
            f"{_first_file(values, max(shades))})"
        )
    classes = {0: 0} | {value: value for value in numbers}
    classes |= {value: number for number, group in enumerate(groups, 1) for value in group}
    if not shades:
        return classes, "palette entries" if indexed else "class numbers"
    return classes, "shades in order, darkest first" if len(groups) > 1 else "black and one shade"


def _first_with_shades(values: Mapping[Path, frozenset[int]]) -> Path:
    """Return a file with shades, preferably one that also holds class numbers."""
    shaded = [path for path, held in values.items() if max(held) > MAX_CLASS]
    return next((path for path in shaded if any(0 < value <= MAX_CLASS for value in values[path])), shaded[0])


def _first_file(values: Mapping[Path, frozenset[int]], value: int) -> str:
    return str(next(path for path, held in values.items() if value in held))


def _levels(shades: Sequence[int], values: Mapping[Path, frozenset[int]]) -> list[list[int]]:
    """Return shades as classes: shades that differ by 1 are one class."""
    groups: list[list[int]] = []
    for value in shades:
        if groups and value - groups[-1][-1] <= 1:
            groups[-1].append(value)
        elif groups and value - groups[-1][-1] < APART:
            raise ValuesError(
                f"the masks hold the shades {groups[-1][-1]} and {value}, too close to be different classes "
                f"({_first_file(values, groups[-1][-1])}, {_first_file(values, value)})"
            )
        else:
            groups.append([value])
    if len(groups) > MAX_CLASS:
        raise ValuesError(f"the masks hold {len(groups)} shades; classes are 1 to {MAX_CLASS}")
    return groups


def check_scales(folders: Mapping[str, Mapping[int, int]]) -> None:
    """Refuse folders with different sets of shades; a folder may lack some of another's.

    Args:
        folders: by name, the shades of each folder with their classes in the mapping of all.

    Raises:
        ValuesError: if no folder holds all shades of the others.
    """
    everything = set[int]().union(*[shades.values() for shades in folders.values()])
    if any(everything == set(shades.values()) for shades in folders.values()):
        return
    for (one, ours), (other, theirs) in combinations(folders.items(), 2):
        if set(ours.values()) <= set(theirs.values()) or set(theirs.values()) <= set(ours.values()):
            continue
        raise ValuesError(
            f"{one} holds the shades {first_values(sorted(ours))}, and {other} {first_values(sorted(theirs))}: two "
            "scales, so how their shades correspond is unknown",
            SAVE_ADVICE,
            f"give the class of each value, such as --values {_in_order(ours, theirs)}",
        )


def _in_order(*scales: Iterable[int]) -> str:
    pairs = {value: number for scale in scales for number, value in enumerate(sorted(scale), 1)}
    return ",".join(f"{value}={number}" for value, number in sorted(pairs.items()))
