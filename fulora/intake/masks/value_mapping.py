"""The mapping from the values of a set of masks to classes: one for all files, never one per file.

Class numbers are kept. Shades are classes in their order: 255 alone is class 1; of 127 and 255 the darker is 1 and the
lighter 2, also in files without one of them. Ambiguous values are refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from fulora.engine import threaded
from fulora.intake.masks.class_inference import apply_given_classes, check_scales, infer_classes
from fulora.intake.masks.noise import ValuesError, distinct_values, first_values, threshold_noise
from fulora.intake.masks.palettes import check_palettes, describe_palette
from fulora.intake.masks.stored_values import MAX_CLASS, Colour, StoredMask, gray_level, read_stored
from fulora.intake.raw_image import SourceError
from fulora.progress import note, track

UNKNOWN = 255


@dataclass(frozen=True)
class MaskValues:
    """A mapping of mask values to classes, for one or several folders of masks.

    Attributes:
        classes: the class of each value, 0 background.
        origin: description of the rule that gave it.
        by_index: whether palettes with colours are read by their indexes, or by their gray levels.
        thresholded: number of noisy black-and-white files, thresholded at 128.
        held: the classes in the masks of each folder, by its name.
        colours: the colour of each index of palettes that are read by index.
    """

    classes: Mapping[int, int]
    origin: str
    files: int = 0
    by_index: bool = False
    thresholded: int = 0
    held: Mapping[str, frozenset[int]] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)

    def read(self, path: Path) -> UInt8[np.ndarray, "h w"]:
        """Read a mask as (height, width) class numbers.

        Raises:
            SourceError: as `read_stored`, or if there is noise not near black and white, or a value without a class.
        """
        values, _ = threshold_noise(path, _select_values(read_stored(path), self.by_index), self.classes)
        table = np.full(256, UNKNOWN, np.uint8)
        table[list(self.classes)] = list(self.classes.values())
        labels = np.asarray(cv2.LUT(values, table))
        if labels.max(initial=0) == UNKNOWN:
            unknown = first_values(sorted(distinct_values(values) - self.classes.keys()))
            raise ValuesError(f"{path}: holds the values {unknown}, which have no class")
        return labels

    @property
    def numbers(self) -> list[int]:
        """The class numbers, without the background."""
        return sorted(set(self.classes.values()) - {0})

    def describe(self) -> str:
        """Return the mapping as one line."""
        pairs = ", ".join(f"{value} = class {number}" for value, number in sorted(self.classes.items()) if number)
        noise, origin = "", self.origin
        if self.thresholded:
            noise = f"; {self.thresholded} of them hold shades near black and white (JPEG noise), thresholded at 128"
        if self.colours:
            origin = f"{origin}: {describe_palette(dict(sorted(self.colours.items())))}"
        return f"mask values of {self.files} files: {pairs or 'all 0, background'} ({origin}){noise}"

    def to_json(self) -> dict[str, object]:
        """Return the mapping as it is recorded in results."""
        classes = {str(value): number for value, number in sorted(self.classes.items())}
        return {"classes": classes, "origin": self.origin, "files": self.files, "thresholded": self.thresholded}


@dataclass(frozen=True)
class _FileValues:
    """The values of one file; of a palette with colours the indexes and their colours."""

    path: Path
    values: frozenset[int]
    colours: Mapping[int, Colour] | None = None
    noisy: bool = False
    is_inverted: bool = False

    def as_read(self, by_index: bool) -> frozenset[int]:
        """Return the values; of a palette with colours the indexes, or the gray levels."""
        if self.colours is None or by_index:
            return self.values
        return frozenset(gray_level(colour) or 0 for colour in self.colours.values())


def find_mask_values(
    folders: Mapping[str, Iterable[Path]], given: Mapping[int, int] | None = None, workers: int | None = None
) -> MaskValues:
    """Find the mapping of all masks of some folders.

    Files that cannot be read are ignored: reading them later raises the error.

    Raises:
        ValuesError: if values are ambiguous, palettes or scales contradict each other, there is no background, or most
            masks of a folder mark all four corners of their image, as inverted ones do.
    """
    by_folder: dict[str, list[_FileValues]] = {}
    for name, files in folders.items():
        read = partial(_read_values, known=given or {})
        masks = threaded(read, track([*files], "masks examined"), workers=workers)
        by_folder[name] = [mask for mask in masks if mask is not None]
        if given is None:
            _check_background(name, by_folder[name])
    return _combine(by_folder, given)


def _combine(by_folder: Mapping[str, Sequence[_FileValues]], given: Mapping[int, int] | None) -> MaskValues:
    masks = [mask for folder in by_folder.values() for mask in folder]
    by_index = _is_read_by_index(masks)
    palettes = [(mask.path, mask.colours) for mask in masks if mask.colours is not None] if by_index else []
    values = {mask.path: mask.as_read(by_index) for mask in masks}
    in_folders = {name: set[int]().union(*(values[mask.path] for mask in folder)) for name, folder in by_folder.items()}
    colours: dict[int, Colour] = {}
    if given is None:
        check_palettes(palettes)
        colours = {index: colour for _, palette in palettes for index, colour in palette.items() if index}
        classes, origin = infer_classes(values, bool(palettes))
        shades = {name: {one: classes[one] for one in held if one > MAX_CLASS} for name, held in in_folders.items()}
        check_scales({name: held for name, held in shades.items() if held})
    else:
        classes, origin = apply_given_classes(values.values(), given), "as set"
    held = {name: frozenset(classes[value] for value in folder) for name, folder in in_folders.items()}
    return MaskValues(classes, origin, len(masks), by_index, sum(mask.noisy for mask in masks), held, colours)


def _check_background(name: str, masks: Sequence[_FileValues]) -> None:
    marked = [mask for mask in masks if mask.values != {0}]
    swapped = [mask for mask in marked if mask.is_inverted]
    if 2 * len(swapped) > len(marked):
        values = swapped[0].values
        white = max(values)
        raise ValuesError(
            f"{name}: {len(swapped)} of {len(marked)} masks mark all four corners, so black and white seem to be "
            f"swapped, such as {swapped[0].path}; black is the background",
            "invert the masks",
            f"give the classes, such as --values 0=1,{white}=0" if values == {0, white} else "",
        )


def source_mask_values(folder: Path, files: Iterable[Path]) -> MaskValues:
    """Find the mapping of the masks of a source's folder, and print it once on standard error.

    Raises:
        SourceError: as `find_mask_values`, without the advice to use an option of commands.
    """
    try:
        values = find_mask_values({str(folder): files})
    except ValuesError as error:
        raise SourceError(f"{folder}: {error.without_option}") from error
    if values.files:
        _note_once(f"{folder}: {values.describe()}")
    return values


@cache
def _note_once(text: str) -> None:
    note(text)


def parse_values(text: str) -> dict[int, int] | None:
    """Parse a mapping such as `127=1,255=2`; None if empty. 0 is the background unless it is given.

    Raises:
        ValueError: if the text is invalid, a value is a duplicate, or a number is out of range.
    """
    if not text.strip():
        return None
    classes: dict[int, int] = {}
    for pair in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})\s*=\s*(\d{1,3})\s*", pair)
        if not match or int(match[1]) > 255 or int(match[2]) >= UNKNOWN or int(match[1]) in classes:
            raise ValueError(
                f"--values {text}: give each value, 0 to 255, once with its class, such as 127=1,255=2; of masks of 16 "
                "bit the shades 0 to 65535 are read as 0 to 255, so 65535 is 255; save other 16-bit values as 8 bit"
            )
        classes[int(match[1])] = int(match[2])
    return {0: 0} | classes


def _read_values(path: Path, known: Iterable[int]) -> _FileValues | None:
    try:
        stored = read_stored(path)
        values, noisy = threshold_noise(path, stored, known)
    except SourceError:
        return None
    held = frozenset(distinct_values(values))
    colours = None if stored.palette is None else {value: stored.palette[value] for value in sorted(held)}
    return _FileValues(path, held, colours, noisy, is_inverted(values))


def is_inverted(labels: Shaped[np.ndarray, "h w"]) -> bool:
    """Return whether a mask marks all four corners of its image, but not the whole image."""
    return bool(labels[[0, 0, -1, -1], [0, -1, 0, -1]].all() and not labels.all())


def _select_values(stored: StoredMask, by_index: bool) -> StoredMask:
    """Replace the indexes of a palette with colours by gray levels, unless it is read by index."""
    if stored.palette is None or by_index:
        return stored
    table = np.array([gray_level(colour) or 0 for colour in stored.palette], np.uint8)
    return StoredMask(np.asarray(table[stored.values]))


def _is_read_by_index(masks: Sequence[_FileValues]) -> bool:
    """Return whether palettes with colours are read by index: if a colour is used, or grays that may be classes."""
    pairs = {pair for mask in masks if mask.colours is not None for pair in mask.colours.items()}
    grays = {gray_level(colour) for _, colour in pairs}
    return None in grays or (not grays <= {0, 255} and max(index for index, _ in pairs) <= MAX_CLASS)
