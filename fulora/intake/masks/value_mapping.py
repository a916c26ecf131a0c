"""Which class each value of a set of masks stands for: one mapping for all files, never one a file.

Class numbers stand for themselves. Shades are classes in their order: 255 alone is class 1, of 127 and 255 the darker
is 1 and the lighter 2, also in files where one of them is absent. What could mean either is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from fulora.engine import threaded
from fulora.intake.masks.class_inference import apply_given_classes, infer_classes
from fulora.intake.masks.consistency import check_palettes, check_scales, describe_palette
from fulora.intake.masks.noise import (
    SAVE_ADVICE,
    VALUES_ADVICE,
    ValuesError,
    distinct_values,
    first_values,
    threshold_noise,
)
from fulora.intake.masks.stored_values import MAX_CLASS, Colour, StoredMask, gray_level, read_stored
from fulora.intake.raw_image import SourceError
from fulora.progress import note, track

UNKNOWN = 255


@dataclass(frozen=True)
class MaskValues:
    """The mapping of values to classes of one or several folders of masks.

    Attributes:
        classes: the class of each value, 0 background.
        origin: how it was found, in words.
        files: how many masks it was found in.
        by_index: whether palettes with colours are read by their indexes, or by the gray that they show.
        thresholded: how many of the files are black and white but for noise.
        held: the classes that the masks of each folder hold, by its name.
        colours: of palettes that are read by their indexes, the colour of each index.
    """

    classes: Mapping[int, int]
    origin: str
    files: int = 0
    by_index: bool = False
    thresholded: int = 0
    held: Mapping[str, frozenset[int]] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)

    def read(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """A mask as (height, width) class numbers.

        Raises:
            SourceError: as `read_stored`, noise that is not near black and white, or a value without a class.
        """
        values, _ = threshold_noise(path, _values(read_stored(path), self.by_index), self.classes)
        table = np.full(256, UNKNOWN, np.uint8)
        table[list(self.classes)] = list(self.classes.values())
        labels = np.asarray(cv2.LUT(values, table))
        if labels.max(initial=0) == UNKNOWN:
            found = sorted(distinct_values(values) - self.classes.keys())
            raise ValuesError(
                f"{path}: holds the values {first_values(found)}, of which nobody said what they are",
                SAVE_ADVICE,
                VALUES_ADVICE,
            )
        return labels

    @property
    def numbers(self) -> list[int]:
        """The classes, without the background."""
        return sorted(set(self.classes.values()) - {0})

    def text(self) -> str:
        """The mapping as a line to print."""
        pairs = ", ".join(f"{value} = class {number}" for value, number in sorted(self.classes.items()) if number)
        noise = (
            f"; {self.thresholded} of them hold shades near black and white (JPEG noise): from 128 on they are white"
            if self.thresholded
            else ""
        )
        origin = (
            f"{self.origin}: {describe_palette(dict(sorted(self.colours.items())))}" if self.colours else self.origin
        )
        return f"mask values of {self.files} files: {pairs or 'all 0, background'} ({origin}){noise}"

    def to_json(self) -> dict[str, object]:
        """The mapping as it is recorded in results."""
        classes = {str(value): number for value, number in sorted(self.classes.items())}
        return {"classes": classes, "origin": self.origin, "files": self.files, "thresholded": self.thresholded}


@dataclass(frozen=True)
class _Held:
    """What one file holds: its values, of a palette with colours the indexes and colours, and how it looks."""

    path: Path
    values: frozenset[int]
    colours: Mapping[int, Colour] | None = None
    noisy: bool = False
    is_inverted: bool = False

    def shown(self, by_index: bool) -> frozenset[int]:
        """The values, of a palette with colours as they are read."""
        if self.colours is None or by_index:
            return self.values
        return frozenset(gray_level(colour) or 0 for colour in self.colours.values())


def find_mask_values(
    folders: Mapping[str, Iterable[Path]], given: Mapping[int, int] | None = None, workers: int | None = None
) -> MaskValues:
    """The mapping of all masks of some folders, read once for it.

    Files that cannot be read do not count: reading them tells why.

    Args:
        folders: the files of each, by a name for messages.
        given: the class of each value, said by the user.

    Raises:
        ValuesError: values that could stand for several classes, palettes or scales that contradict each other, no
            background, or most masks of a folder marking all four corners of their picture, as inverted ones do.
    """
    held: dict[str, list[_Held]] = {}
    for name, files in folders.items():
        looked = threaded(lambda path: _held(path, given or {}), track([*files], "masks looked at"), workers=workers)
        held[name] = [one for one in looked if one is not None]
        if given is None:
            _check_background(name, held[name])
    return _found(held, given)


def _found(held: Mapping[str, Sequence[_Held]], given: Mapping[int, int] | None) -> MaskValues:
    everything = [one for found in held.values() for one in found]
    by_index = _by_index(everything)
    indexed = by_index and any(one.colours is not None for one in everything)
    colours: dict[int, Colour] = {}
    if indexed and given is None:
        palettes = [(one.path, one.colours) for one in everything if one.colours is not None]
        check_palettes(palettes)
        colours = {index: colour for _, palette in palettes for index, colour in palette.items() if index}
    values = {one.path: one.shown(by_index) for one in everything}
    classes, origin = (
        infer_classes(values, indexed) if given is None else (apply_given_classes(values.values(), given), "as said")
    )
    in_folders = {name: {value for one in found for value in one.shown(by_index)} for name, found in held.items()}
    if given is None:
        check_scales(
            {
                name: shades
                for name, there in in_folders.items()
                if (shades := {value: classes[value] for value in there if value > MAX_CLASS})
            }
        )
    classes_in = {name: frozenset(classes[value] for value in there) for name, there in in_folders.items()}
    noisy = sum(one.noisy for one in everything)
    return MaskValues(classes, origin, len(everything), by_index, noisy, classes_in, colours)


def _check_background(name: str, held: Sequence[_Held]) -> None:
    marked = [one for one in held if one.values != {0}]
    swapped = [one for one in marked if one.is_inverted]
    if 2 * len(swapped) > len(marked):
        values = swapped[0].values
        white = max(values)
        raise ValuesError(
            f"{name}: {len(swapped)} of {len(marked)} masks mark all four corners, so black and white seem to be "
            f"swapped, such as {swapped[0].path}; black is the background",
            "invert the masks",
            f"say what is meant, such as --values 0=1,{white}=0" if values == {0, white} else "",
        )


def source_mask_values(folder: Path, files: Iterable[Path]) -> MaskValues:
    """The mapping of the masks of a source's folder, printed once on standard error.

    Raises:
        SourceError: as `find_mask_values`, without the advice to use an option that no source has.
    """
    try:
        values = find_mask_values({str(folder): files})
    except ValuesError as error:
        raise SourceError(f"{folder}: {error.alone}") from error
    if values.files:
        _tell_once(f"{folder}: {values.text()}")
    return values


@cache
def _tell_once(text: str) -> None:
    note(text)


def parse_values(text: str) -> dict[int, int] | None:
    """The mapping that `127=1,255=2` says; None of nothing. 0 is the background unless it is said otherwise.

    Raises:
        ValueError: other text, a value that stands twice, or numbers out of range.
    """
    if not text.strip():
        return None
    found: dict[int, int] = {}
    for pair in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})\s*=\s*(\d{1,3})\s*", pair)
        if not match or int(match[1]) > 255 or int(match[2]) >= UNKNOWN or int(match[1]) in found:
            raise ValueError(
                f"--values {text}: give each value, 0 to 255, once with its class, such as 127=1,255=2; of masks of 16 "
                "bit the shades 0 to 65535 are read as 0 to 255, so 65535 is 255; save other 16-bit values as 8 bit"
            )
        found[int(match[1])] = int(match[2])
    return {0: 0} | found


def _held(path: Path, known: Iterable[int]) -> _Held | None:
    try:
        stored = read_stored(path)
        values, noisy = threshold_noise(path, stored, known)
    except SourceError:
        return None
    found = frozenset(distinct_values(values))
    colours = None if stored.palette is None else {value: stored.palette[value] for value in sorted(found)}
    return _Held(path, found, colours, noisy, is_inverted(values))


def is_inverted(labels: Shaped[np.ndarray, "h w"]) -> bool:
    """Whether a mask marks all four corners of its picture, but not all of it."""
    return bool(labels[[0, 0, -1, -1], [0, -1, 0, -1]].all() and not labels.all())


def _values(stored: StoredMask, by_index: bool) -> StoredMask:
    """Of a palette with colours the grays that it shows, unless indexes count."""
    if stored.palette is None or by_index:
        return stored
    table = np.array([gray_level(colour) or 0 for colour in stored.palette], np.uint8)
    return StoredMask(np.asarray(table[stored.values]))


def _by_index(held: Sequence[_Held]) -> bool:
    """Whether palettes with colours are read by index: where a colour is used, or grays that may be classes."""
    pairs = {pair for one in held if one.colours is not None for pair in one.colours.items()}
    grays = {gray_level(colour) for _, colour in pairs}
    return None in grays or (not grays <= {0, 255} and max(index for index, _ in pairs) <= MAX_CLASS)
