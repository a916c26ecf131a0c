"""Lists of pixel sizes and published measures, by the case that a file's name tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log1p
from pathlib import Path

from fulora.data.tables.cells import plain
from fulora.intake.masks.file_names import case_name
from fulora.intake.raw_image import SourceError
from fulora.intake.tables import count_in, number_in, read_header, read_rows
from fulora.progress import note

NEEDED, SIDES = ("file_name", "pixel_size_mm"), ("width", "height")
RENAMED = {"filename": "file_name", "pixel size(mm)": "pixel_size_mm", "columns": "width", "rows": "height"}
"""Other names of columns; DICOM calls the width Columns and the height Rows."""
REFERENCE = "head circumference (mm)"
LIKE = ("width", "height", "columns", "rows", "pixelsize", "spacing")
"""Parts of names that tell a size. A column with one that is not understood may change every measure."""
SAME_ASPECT = 0.05
"""How near, relatively, two aspect ratios are that count as one."""
MAX_SIDE = 100_000


@dataclass(frozen=True)
class PixelSize:
    """mm a pixel of the original image, and its (width, height), None where a list does not tell."""

    mm: float
    original: tuple[int, int] | None = None

    def scale_xy(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Original size / mask size for x and y, of a mask of this (height, width)."""
        return original_scale(self.original, shape)

    def reshaped(self, shape: tuple[int, ...]) -> bool:
        """Whether a mask of this (height, width) has another aspect ratio than the original.

        Raises:
            SourceError: it is that of the original with width and height exchanged.
        """
        if self.original is None:
            return False
        listed, here = log(self.original[0] / self.original[1]), log(shape[1] / shape[0])
        if abs(listed + here) < log1p(SAME_ASPECT) < abs(listed - here):
            raise SourceError(
                f"the list says (width, height) {self.original}, the mask has {shape[::-1]}: width and height seem to "
                "be exchanged; correct the list, or turn the mask"
            )
        return abs(listed - here) > log1p(SAME_ASPECT)


def original_scale(original: tuple[int, int] | None, shape: tuple[int, ...]) -> tuple[float, float]:
    """Original (width, height) / mask size for x and y; 1 where the original is not known, so taken as the mask's."""
    return (1.0, 1.0) if original is None else (original[0] / shape[1], original[1] / shape[0])


def read_pixel_sizes(path: Path) -> dict[str, PixelSize]:
    """Pixel sizes by case, from a list with `filename` (or `file_name`) and `pixel size(mm)` (or `pixel_size_mm`).

    Columns `width` and `height` (or `Columns` and `Rows`) tell the size of the original in pixels, where masks were
    resized. Case, blanks and punctuation of names do not count. Rows without a pixel size are left out.

    Raises:
        SourceError: no list, missing columns, columns that look like a size and are not understood, a number that
            cannot be, or a case that stands twice.
    """
    rows = _rows(path)
    _check_others(path, [name for name in rows[0][1] if name not in (*NEEDED, *SIDES, REFERENCE)] if rows else [])
    found: dict[str, PixelSize] = {}
    seen: set[str] = set()
    for line, row in rows:
        where, case = f"{path}, line {line}, {row['file_name']}", case_name(Path(row["file_name"]))
        if case in seen:
            raise SourceError(f"{path}: {case} stands twice; which row counts cannot be known")
        seen.add(case)
        sides = [count_in(row[side], f"{where}: {side}", MAX_SIDE) for side in SIDES if row.get(side)]
        if len(sides) == 1:
            raise SourceError(f"{where}: only one of width and height; give both, or none")
        if row["pixel_size_mm"]:
            size = number_in(row["pixel_size_mm"], f"{where}: pixel_size_mm", 0.005, 2)
            found[case] = PixelSize(size, (sides[0], sides[1]) if sides else None)
    return found


def has_references(path: Path) -> bool:
    """Whether a list has HC18's column of reference circumferences."""
    return plain(REFERENCE) in map(plain, read_header(path))


def _rows(path: Path, *more: str) -> list[tuple[int, dict[str, str]]]:
    measures = ("pixel_size_mm", REFERENCE, *more)
    return read_rows(path, (*NEEDED, *more), renamed=RENAMED, optional=(*SIDES, REFERENCE), measures=measures)


def _check_others(path: Path, others: Sequence[str]) -> None:
    """Say which columns are not read, and refuse those that may be a size."""
    if like := [name for name in others if any(part in plain(name) for part in LIKE)]:
        raise SourceError(
            f"{path}: column {', '.join(map(repr, like))} is not understood. The size of a pixel is "
            "`pixel size(mm)` or `pixel_size_mm`, that of the original `width` and `height`: rename it, or take it out"
        )
    if others:
        note(f"{path}: columns that are not read: {', '.join(others)}")


def read_references(path: Path, column: str) -> dict[str, float]:
    """A published measure by case, from the same kind of list; cases without one are left out.

    Raises:
        SourceError: as `read_pixel_sizes`, or no such column.
    """
    values = {case_name(Path(row["file_name"])): row[column] for _, row in _rows(path, column)}
    return {case: number_in(value, f"{path}, {case}: {column}", 0.1, 1000) for case, value in values.items() if value}
