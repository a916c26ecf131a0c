"""Whether the masks of one call mean the same: colours of palettes between files, scales of shades between folders."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

from fulora.intake.masks.noise import SAVE_ADVICE, ValuesError, first_values
from fulora.intake.masks.stored_values import Colour


def check_palettes(palettes: Iterable[tuple[Path, Mapping[int, Colour]]]) -> None:
    """Refuse files whose palettes show one index in two colours, or one colour at two indexes.

    Args:
        palettes: each file with the colours of the indexes that it uses; index 0 is background and does not count.

    Raises:
        ValuesError: two such files, with the colours of both.
    """
    used: dict[tuple[tuple[int, Colour], ...], Path] = {}
    for path, palette in palettes:
        used.setdefault(tuple(sorted((index, colour) for index, colour in palette.items() if index)), path)
    for (ours, one), (theirs, other) in combinations(used.items(), 2):
        if _contradict(dict(ours), dict(theirs)):
            shown = f"{describe_palette(dict(ours))}, and {describe_palette(dict(theirs))}"
            raise ValuesError(
                f"{one} and {other}: their palettes contradict each other ({shown}), so "
                "which index is which class cannot be known",
                f"{SAVE_ADVICE} of gray, or with one palette in all files",
                "say that the indexes count whatever their colours, such as --values 1=1,2=2",
            )


def _contradict(ours: Mapping[int, Colour], theirs: Mapping[int, Colour]) -> bool:
    """Whether an index that both use has two colours, or a colour that both use has no index in common."""
    if any(theirs.get(index, colour) != colour for index, colour in ours.items()):
        return True
    return any(
        all(ours.get(index) != colour for index, other in theirs.items() if other == colour)
        for colour in set(ours.values()) & set(theirs.values())
    )


def check_scales(folders: Mapping[str, Mapping[int, int]]) -> None:
    """Refuse folders with different sets of shades; one that lacks some of another's is allowed.

    Args:
        folders: of each, by its name, the shades that it holds and the class of each in the mapping of all.

    Raises:
        ValuesError: no folder holds all shades that the others hold.
    """
    everything = set[int]().union(*[shades.values() for shades in folders.values()])
    if any(everything == set(shades.values()) for shades in folders.values()):
        return
    for (one, ours), (other, theirs) in combinations(folders.items(), 2):
        if set(ours.values()) <= set(theirs.values()) or set(theirs.values()) <= set(ours.values()):
            continue
        raise ValuesError(
            f"{one} holds the shades {first_values(sorted(ours))}, and {other} {first_values(sorted(theirs))}: two "
            "scales, so which shade of one is which of the other cannot be known",
            SAVE_ADVICE,
            f"say which value is which class, such as --values {_in_order(ours, theirs)}",
        )


def _in_order(*scales: Iterable[int]) -> str:
    pairs = {value: number for scale in scales for number, value in enumerate(sorted(scale), 1)}
    return ",".join(f"{value}={number}" for value, number in sorted(pairs.items()))


def describe_palette(palette: Mapping[int, Colour]) -> str:
    """The colours of a palette's indexes, `1 is #ff0000`."""
    shown = [f"{index} is " + "#" + "".join(f"{part:02x}" for part in colour) for index, colour in palette.items()]
    return ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "")
