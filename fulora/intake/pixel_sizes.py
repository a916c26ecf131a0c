"""Lists of pixel sizes and published measures by case."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log1p
from pathlib import Path

from fulora.data.tables.cells import comparable_name
from fulora.intake.masks.file_names import case_name
from fulora.intake.published_lists import count_in, number_in, read_header, read_rows
from fulora.intake.raw_image import SourceError
from fulora.progress import note

NEEDED, SIDES = ("file_name", "pixel_size_mm"), ("width", "height")
RENAMED = {"filename": "file_name", "pixel size(mm)": "pixel_size_mm", "columns": "width", "rows": "height"}
"""Other names of columns; in DICOM the width is Columns and the height Rows."""
REFERENCE = "head circumference (mm)"
LIKE = ("width", "height", "columns", "rows", "pixelsize", "spacing")
"""Parts of the names of columns with a size; an unknown such column could change every measure."""
SAME_ASPECT = 0.05
"""Relative difference of aspect ratios that count as equal."""
MAX_SIDE = 100_000


@dataclass(frozen=True)
class PixelSize:
    """The mm per pixel of the original image, and its (width, height), None if the list does not hold it."""

    mm: float
    original: tuple[int, int] | None = None

    def scale_xy(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Return original size / mask size in x and y, for a mask of this (height, width)."""
        return original_scale(self.original, shape)

    def reshaped(self, shape: tuple[int, ...]) -> bool:
        """Return whether a mask of this (height, width) has another aspect ratio than the original.

        Raises:
            SourceError: if its width and height are exchanged.
        """
        if self.original is None:
            return False
        listed, of_mask = log(self.original[0] / self.original[1]), log(shape[1] / shape[0])
        if abs(listed + of_mask) < log1p(SAME_ASPECT) < abs(listed - of_mask):
            raise SourceError(
                f"(width, height) is {self.original} in the list and {shape[::-1]} in the mask: width and height seem "
                "to be exchanged; correct the list, or rotate the mask"
            )
        return abs(listed - of_mask) > log1p(SAME_ASPECT)


def original_scale(original: tuple[int, int] | None, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return original (width, height) / mask size in x and y; 1 if the original size is unknown."""
    return (1.0, 1.0) if original is None else (original[0] / shape[1], original[1] / shape[0])


def read_pixel_sizes(path: Path) -> dict[str, PixelSize]:
    """Read pixel sizes by case from a list with `filename` (or `file_name`) and `pixel size(mm)` (or `pixel_size_mm`).

    Columns `width` and `height` (or `Columns` and `Rows`) hold the size of the original in pixels, if masks were
    resized. Case, blanks and punctuation of names are ignored. Rows without a pixel size are left out.

    Raises:
        SourceError: if there is no list, a column is missing or looks like an unknown size, a number is implausible, or
            a case is a duplicate.
    """
    rows = _rows(path)
    _check_others(path, [name for name in rows[0][1] if name not in (*NEEDED, *SIDES, REFERENCE)] if rows else [])
    sizes: dict[str, PixelSize] = {}
    seen: set[str] = set()
    for line, row in rows:
        where, case = f"{path}, line {line}, {row['file_name']}", case_name(Path(row["file_name"]))
        if case in seen:
            raise SourceError(f"{path}: {case} is a duplicate; which row is right is unknown")
        seen.add(case)
        sides = [count_in(row[side], f"{where}: {side}", MAX_SIDE) for side in SIDES if row.get(side)]
        if len(sides) == 1:
            raise SourceError(f"{where}: only one of width and height; give both, or none")
        if row["pixel_size_mm"]:
            size = number_in(row["pixel_size_mm"], f"{where}: pixel_size_mm", 0.005, 2)
            sizes[case] = PixelSize(size, (sides[0], sides[1]) if sides else None)
    return sizes


def has_references(path: Path) -> bool:
    """Return whether a list has HC18's column of reference circumferences."""
    return comparable_name(REFERENCE) in map(comparable_name, read_header(path))


def _rows(path: Path, *more: str) -> list[tuple[int, dict[str, str]]]:
    measures = ("pixel_size_mm", REFERENCE, *more)
    return read_rows(path, (*NEEDED, *more), renamed=RENAMED, optional=(*SIDES, REFERENCE), measures=measures)


def _check_others(path: Path, others: Sequence[str]) -> None:
    """Report columns that are not read, and refuse those that may hold a size."""
    if like := [name for name in others if any(part in comparable_name(name) for part in LIKE)]:
        raise SourceError(
            f"{path}: column {', '.join(map(repr, like))} is unknown. The size of a pixel is `pixel size(mm)` "
            "or `pixel_size_mm`, that of the original `width` and `height`: rename the column, or remove it"
        )
    if others:
        note(f"{path}: columns that are not read: {', '.join(others)}")


def read_references(path: Path, column: str) -> dict[str, float]:
    """Read a published measure by case from such a list; cases without one are left out.

    Raises:
        SourceError: as `read_pixel_sizes`, or if there is no such column.
    """
    values = {case_name(Path(row["file_name"])): row[column] for _, row in _rows(path, column)}
    return {case: number_in(value, f"{path}, {case}: {column}", 0.1, 1000) for case, value in values.items() if value}
