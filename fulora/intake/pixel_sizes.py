"""Lists of pixel sizes and published measures, by the case that a file's name tells."""

from dataclasses import dataclass
from pathlib import Path

from fulora.intake.mask_names import case_of
from fulora.intake.raw import SourceError
from fulora.intake.tables import number_in, read_table

NAMES = {"filename": "file_name", "pixel size(mm)": "pixel_size_mm"}


@dataclass(frozen=True)
class PixelSize:
    """mm a pixel of the original image, and its (width, height), None where a list does not tell."""

    mm: float
    original: tuple[int, int] | None = None

    def scale_xy(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Original size / mask size for x and y, of a mask of this (height, width)."""
        return scale_to(self.original, shape)


def scale_to(original: tuple[int, int] | None, shape: tuple[int, ...]) -> tuple[float, float]:
    """Original (width, height) / mask size for x and y; 1 where the original is not known, so taken as the mask's."""
    return (1.0, 1.0) if original is None else (original[0] / shape[1], original[1] / shape[0])


def read_pixel_sizes(path: Path) -> dict[str, PixelSize]:
    """Pixel sizes by case, from a list with `filename` (or `file_name`) and `pixel size(mm)` (or `pixel_size_mm`).

    Columns `width` and `height` tell the size of the original in pixels, where masks were resized.

    Raises:
        SourceError: no list, missing columns, a number that cannot be, or a case that stands twice.
    """
    found: dict[str, PixelSize] = {}
    for row in read_table(path):
        named = {NAMES.get(name, name): value for name, value in row.items()}
        if missing := [name for name in ("file_name", "pixel_size_mm") if name not in named]:
            raise SourceError(f"{path}: columns missing: {', '.join(missing)}; found: {', '.join(row)}")
        name, case = named["file_name"], case_of(Path(named["file_name"]))
        if case in found:
            raise SourceError(f"{path}: {case} stands twice; which row counts cannot be known")
        sides = [
            int(number_in(named[side], f"{path}, {name}: {side}", 1, 100_000))
            for side in ("width", "height")
            if named.get(side)
        ]
        if len(sides) == 1:
            raise SourceError(f"{path}, {name}: only one of width and height; give both, or none")
        size = number_in(named["pixel_size_mm"], f"{path}, {name}: pixel_size_mm", 0.005, 2)
        found[case] = PixelSize(size, (sides[0], sides[1]) if sides else None)
    return found


def references_in(path: Path, column: str) -> dict[str, float]:
    """A published measure by case, from the same kind of list; cases without one are left out.

    Raises:
        SourceError: as `read_pixel_sizes`, or no such column.
    """
    rows = read_table(path, (column,))
    values = {case_of(Path(row.get("filename") or row.get("file_name", ""))): row[column] for row in rows}
    return {case: number_in(value, f"{path}, {case}: {column}", 0.1, 1000) for case, value in values.items() if value}
