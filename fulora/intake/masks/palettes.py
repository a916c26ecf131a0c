"""Palettes of masks: files whose palettes contradict each other are refused, and a palette is described."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

from fulora.intake.masks.noise import SAVE_ADVICE, ValuesError
from fulora.intake.masks.stored_values import Colour


def check_palettes(palettes: Iterable[tuple[Path, Mapping[int, Colour]]]) -> None:
    """Refuse files whose palettes have one index in two colours, or one colour at two indexes.

    Args:
        palettes: each file with the colours of the indexes that it uses; index 0, the background, is ignored.

    Raises:
        ValuesError: if there are two such files, with the colours of both.
    """
    used: dict[tuple[tuple[int, Colour], ...], Path] = {}
    for path, palette in palettes:
        used.setdefault(tuple(sorted((index, colour) for index, colour in palette.items() if index)), path)
    for (ours, one), (theirs, other) in combinations(used.items(), 2):
        if _contradict(dict(ours), dict(theirs)):
            raise ValuesError(
                f"{one} and {other}: their palettes contradict each other ({describe_palette(dict(ours))}, and "
                f"{describe_palette(dict(theirs))}), so the class of an index is unknown",
                f"{SAVE_ADVICE} of gray, or with one palette in all files",
                "read the indexes whatever their colours, such as --values 1=1,2=2",
            )


def _contradict(ours: Mapping[int, Colour], theirs: Mapping[int, Colour]) -> bool:
    """Return whether a shared index has two colours, or a shared colour has no shared index."""
    if any(theirs.get(index, colour) != colour for index, colour in ours.items()):
        return True
    return any(
        all(ours.get(index) != colour for index, other in theirs.items() if other == colour)
        for colour in set(ours.values()) & set(theirs.values())
    )


def describe_palette(palette: Mapping[int, Colour]) -> str:
    """Describe the colours of a palette's indexes: `1 is #ff0000`."""
    texts = [f"{index} is " + "#" + "".join(f"{part:02x}" for part in colour) for index, colour in palette.items()]
    return ", ".join(texts[:6]) + (", ..." if len(texts) > 6 else "")
