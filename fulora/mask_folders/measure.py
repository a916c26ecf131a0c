"""Head circumference and angle of progression of every mask of a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from fulora.biometry.agreement import AgreementStatistics, agreement
from fulora.biometry.measurement_rows import AngleRow, HeadRow, angle_row, hc18_row, head_row
from fulora.biometry.side import Side
from fulora.data.structures import numbers_measured
from fulora.data.tables.delimited import csv_text
from fulora.intake.masks.file_names import case_name
from fulora.intake.masks.files import find_masks, map_cases, read_region, resolve_label
from fulora.intake.masks.spacing import shape_conflict, spacing_conflict
from fulora.intake.masks.validation import check_background
from fulora.intake.masks.value_mapping import MaskValues, find_mask_values
from fulora.intake.pixel_sizes import (
    REFERENCE,
    PixelSize,
    has_references,
    original_scale,
    read_pixel_sizes,
    read_references,
)
from fulora.intake.raw_image import SourceError
from fulora.progress import note, track

Row = TypeVar("Row", HeadRow, AngleRow)


@dataclass(frozen=True)
class HeadMeasurements:
    """A row for each mask, and the agreement with the reference circumferences of the list; None without any."""

    rows: Sequence[HeadRow]
    agreement: AgreementStatistics | None


def measure_heads(
    masks: Path,
    pixel_sizes: Path,
    *,
    label: int | None = None,
    inset_px: float = 0.0,
    values: Mapping[int, int] | None = None,
    workers: int = 2,
) -> HeadMeasurements:
    """Measure head circumference, BPD and OFD in mm by an ellipse, outer to outer.

    Args:
        masks: folder of masks: PNG, MHA or NIfTI.
        pixel_sizes: CSV list with `filename` and `pixel size(mm)`, perhaps with HC18's reference circumferences.
        label: class number of the head; by default the label set's beside the masks, or the only one.
        inset_px: measure a line this far inside the mask's edge.
        values: the class of each value of the masks; inferred if None.
        workers: threads.

    Returns:
        A row for every mask; a mask that cannot be measured has a row with its failure.

    Raises:
        ValueError: if the folder, the list or the classes cannot be used.
    """
    files, sizes = find_masks(masks), read_pixel_sizes(pixel_sizes)
    if not files.keys() & sizes.keys():
        raise ValueError(f"{pixel_sizes}: names none of the {len(files)} masks of {masks}, such as {next(iter(files))}")
    mapping = _find_mapping(masks, files, values, workers)
    numbers = numbers_measured(masks, "ellipse")
    head = resolve_label(mapping, numbers[0] if label is None and len(numbers) == 1 else label)
    references = read_references(pixel_sizes, REFERENCE) if has_references(pixel_sizes) else {}

    def row(case: str, path: Path) -> HeadRow:
        if case not in sizes:
            why = f"{case} is not in {pixel_sizes.name}, or has no pixel size"
            return HeadRow(path.name, failure="no_pixel_size", detail=why)
        return _head(path, sizes[case], mapping, head, inset_px)

    rows = list(track(map_cases(files, row, workers), "measured", total=len(files)))
    pairs = [(row.hc_mm, references[case]) for row, case in zip(rows, files, strict=True) if case in references]
    return HeadMeasurements(rows, agreement(pairs))


def measure_angles(
    masks: Path,
    *,
    symphysis: int | None = None,
    head: int | None = None,
    inferior: Side = "right",
    original_size: tuple[int, int] | None = None,
    values: Mapping[int, int] | None = None,
    workers: int = 2,
) -> list[AngleRow]:
    """Measure the angle of progression in degrees: the symphysis' axis and the tangent to the head's ellipse.

    Args:
        masks: folder of masks: PNG, MHA or NIfTI.
        symphysis, head: class numbers; by default the label set's beside the masks, else 1 and 2.
        inferior: side of the image on which the inferior end of the symphysis lies.
        original_size: (width, height) of the images if the masks were resized to another shape.
        values: the class of each value of the masks; inferred if None.
        workers: threads.

    Returns:
        A row for every mask; a mask that cannot be measured has a row with its failure.

    Raises:
        ValueError: if the folder or the classes cannot be used.
    """
    numbers = numbers_measured(masks, "angle") or [1, 2]
    axis, tangent = numbers[0] if symphysis is None else symphysis, numbers[1] if head is None else head
    if axis == tangent or min(axis, tangent) < 1:
        raise ValueError(f"--symphysis {axis} --head {tangent}: give two different class numbers of 1 or more")
    files = find_masks(masks)
    mapping = _find_mapping(masks, files, values, workers)

    def row(_: str, path: Path) -> AngleRow:
        try:
            labels = mapping.read(path)
            check_background(labels, path)
            scale_xy = original_scale(original_size, labels.shape)
            conflict = shape_conflict(path, scale_xy)
        except SourceError as error:
            return AngleRow(path.name, failure="unreadable", detail=str(error))
        measured = angle_row(path.name, labels, symphysis=axis, head=tangent, inferior=inferior, scale_xy=scale_xy)
        return _with_spacing_warning(measured, conflict)

    return list(track(map_cases(files, row, workers), "measured", total=len(files)))


def write_measurements(path: Path, rows: Sequence[HeadRow | AngleRow]) -> None:
    """Write rows as a CSV file, one line a mask."""
    _write(path, [asdict(row) for row in rows])


def write_hc18_submission(path: Path, rows: Sequence[HeadRow]) -> None:
    """Write a submission file of the HC18 challenge.

    Raises:
        ValueError: if a head could not be measured, or its field of view is implausible.
    """
    _write(path, [hc18_row(row) | {"filename": f"{case_name(Path(row.file_name))}.png"} for row in rows])


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    columns = list(rows[0])
    cells = [[f"{row[name]:.7g}" if isinstance(row[name], float) else row[name] for name in columns] for row in rows]
    path.write_text(csv_text([columns, *cells]), encoding="utf-8", newline="")


def _head(path: Path, size: PixelSize, mapping: MaskValues, label: int | None, inset_px: float) -> HeadRow:
    try:
        region = read_region(path, mapping, label)
        check_background(region, path)
        mm, scale_xy = size.mm, size.scale_xy(region.shape)
        conflict = spacing_conflict(path, (mm * scale_xy[0], mm * scale_xy[1]))
    except SourceError as error:
        return HeadRow(path.name, failure="unreadable", detail=str(error))
    try:
        reshaped = size.reshaped(region.shape)
    except SourceError as error:
        return HeadRow(path.name, failure="no_pixel_size", detail=str(error))
    row = _with_spacing_warning(head_row(path.name, region, mm, scale_xy, inset_px=inset_px), conflict)
    return replace(row, warnings=f"{row.warnings} aspect_changed".strip()) if reshaped else row


def _with_spacing_warning(row: Row, conflict: str) -> Row:
    if not conflict:
        return row
    detail = "; ".join(filter(None, [row.detail, conflict]))
    return replace(row, warnings=f"{row.warnings} file_spacing".strip(), detail=detail)


def _find_mapping(
    folder: Path, files: Mapping[str, Path], values: Mapping[int, int] | None, workers: int
) -> MaskValues:
    mapping = find_mask_values({str(folder): files.values()}, values, workers)
    if mapping.files:
        note(mapping.describe())
    return mapping
