"""`fulora measure`: head circumference and angle of progression of a folder of masks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

if TYPE_CHECKING:
    from fulora.biometry.rows import AngleRow, HeadRow
    from fulora.intake.masks.value_mapping import MaskValues
    from fulora.intake.pixel_sizes import PixelSize

Row = TypeVar("Row", "HeadRow", "AngleRow")

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure masks: HC in mm, AoP in degrees.")

VIEW = "have a field of view that no fetal scan has"
VIEW_ADVICE = "; is the pixel size that of the original in mm, and were masks resized?"
SPACING = "state a pixel spacing that contradicts what they are measured with"

Masks = Annotated[
    Path, typer.Argument(help="Folder of masks: PNG, MHA or NIfTI; only *_Mask files where there are any.")
]
Values = Annotated[
    str, typer.Option(help="Which value of the masks is which class, such as 127=1,255=2, where it cannot be told.")
]
Out = Annotated[Path, typer.Option(help="CSV to write: one row a mask.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads.")]


@app.callback()
def group() -> None:
    """Measure masks. For research only, never for the care of a patient."""


@app.command()
def hc(
    masks: Masks,
    pixel_sizes: Annotated[
        Path,
        typer.Option(
            help="CSV: filename, pixel size(mm); width, height of the original if masks were resized. Any case."
        ),
    ],
    out: Out,
    label: Annotated[
        int | None,
        typer.Option(help="Class number of the head, where masks hold several and no label set beside them says it."),
    ] = None,
    inset_px: Annotated[
        float, typer.Option(help="Measure a line so far inside the mask's edge; 1.39 is the line of HC18's references.")
    ] = 0.0,
    submission: Annotated[Path | None, typer.Option(help="Also write a submission file of the HC18 challenge.")] = None,
    values: Values = "",
    workers: Workers = 2,
) -> None:
    """Head circumference, BPD and OFD in mm by an ellipse, outer to outer.

    Columns: file_name, hc_mm, bpd_mm, ofd_mm, cephalic_index, ga_weeks (Hadlock 1984, research only), the ellipse in
    pixels of the original, fit_iou, coverage, warnings, and failure with detail: empty_mask, too_small,
    too_few_points, degenerate_fit, no_pixel_size, unreadable. A failure keeps its row; the exit code is 1 where nothing
    could be measured. The warning field_of_view means that pixel size x width is none of a fetal scan; no submission is
    written then. The warning file_spacing means that an MHA or NIfTI file states another spacing than the list, which
    counts. The warning aspect_changed means that the list says another aspect ratio than the mask has; exchanged width
    and height are a failure.

    If the list has HC18's column of reference circumferences, bias and mean absolute difference (ADF) are printed.

    Examples:

      fulora measure hc masks --pixel-sizes training_set_pixel_size_and_HC.csv --out hc.csv

      fulora measure hc training_set --pixel-sizes training_set_pixel_size_and_HC.csv --inset-px 1.39 --out hc.csv

      fulora measure hc predicted --pixel-sizes test_set_pixel_size.csv --out hc.csv --submission submission.csv
    """
    from fulora.biometry.rows import HC18_COLUMNS, HeadRow, hc18_row
    from fulora.data.structures import numbers_measured
    from fulora.intake.masks.file_names import case_name
    from fulora.intake.masks.files import find_masks, map_cases, resolve_label
    from fulora.intake.pixel_sizes import read_pixel_sizes
    from fulora.progress import track

    files, sizes = find_masks(masks), read_pixel_sizes(pixel_sizes)
    if not files.keys() & sizes.keys():
        raise ValueError(f"{pixel_sizes}: names none of the {len(files)} masks of {masks}, such as {next(iter(files))}")
    mapping = _mapping(masks, files, values, workers)
    known = numbers_measured(masks, "ellipse")
    label = known[0] if label is None and len(known) == 1 else label
    label, references = resolve_label(mapping, label), _references(pixel_sizes)

    def row(case: str, path: Path) -> HeadRow:
        if case not in sizes:
            why = f"{case} is not in {pixel_sizes.name}, or has no pixel size"
            return HeadRow(path.name, failure="no_pixel_size", detail=why)
        return _head(path, sizes[case], mapping, label, inset_px)

    rows = list(track(map_cases(files, row, workers), "measured", total=len(files)))
    _write(out, [field.name for field in fields(HeadRow)], [asdict(one) for one in rows])
    _tell(rows, out, "hc_mm", "mm")
    _tell_warned(rows, "field_of_view", VIEW, VIEW_ADVICE)
    _tell_warned(rows, "file_spacing", SPACING)
    _compare(rows, references)
    if submission is not None:
        lines = [hc18_row(one) | {"filename": f"{case_name(Path(one.file_name))}.png"} for one in rows]
        _write(submission, HC18_COLUMNS, lines)
    _end(rows)


@app.command()
def aop(
    masks: Masks,
    out: Out,
    symphysis: Annotated[
        int | None, typer.Option(help="Class number of the pubic symphysis: the label set's beside the masks, else 1.")
    ] = None,
    head: Annotated[int | None, typer.Option(help="Class number of the fetal head: the label set's, else 2.")] = None,
    inferior: Annotated[
        str, typer.Option(help="Side of the image where the symphysis' inferior end lies: right (PSFHS) or left.")
    ] = "right",
    original_size: Annotated[
        str, typer.Option(help="WIDTHxHEIGHT of the images, where masks were resized to another shape.")
    ] = "",
    values: Values = "",
    workers: Workers = 2,
) -> None:
    """Angle of progression in degrees: the symphysis' axis and the tangent to the head's ellipse.

    Columns: file_name, aop_deg, symphysis_axis_ratio and symphysis_length_px, head_axis_ratio, head_fit_iou,
    head_coverage, warnings, and failure with detail: empty_mask, too_small, too_few_points, degenerate_fit,
    axis_undefined, end_inside_head, unreadable. A failure keeps its row, and is never an angle of 0; the exit code is 1
    where nothing could be measured. The warning file_spacing means that an MHA or NIfTI file states pixels of another
    shape than the angle takes them for.

    Examples:

      fulora measure aop label_mha --out aop.csv

      fulora measure aop predicted --out aop.csv --symphysis 2 --head 1 --inferior left

      fulora measure aop predicted_256 --out aop.csv --original-size 1024x768
    """
    from fulora.biometry.rows import AngleRow, angle_row
    from fulora.data.structures import numbers_measured
    from fulora.intake.masks.files import find_masks, map_cases
    from fulora.intake.masks.spacing import shape_conflict
    from fulora.intake.masks.validation import check_background
    from fulora.intake.pixel_sizes import original_scale
    from fulora.intake.raw_image import SourceError
    from fulora.progress import track

    side, size = _side(inferior), _size(original_size)
    known = numbers_measured(masks, "angle") or [1, 2]
    axis, tangent = known[0] if symphysis is None else symphysis, known[1] if head is None else head
    if axis == tangent or min(axis, tangent) < 1:
        raise ValueError(f"--symphysis {axis} --head {tangent}: give two different class numbers of 1 or more")
    files = find_masks(masks)
    mapping = _mapping(masks, files, values, workers)

    def row(case: str, path: Path) -> AngleRow:
        try:
            labels = mapping.read(path)
            check_background(labels, path)
            scale_xy = original_scale(size, labels.shape)
            spacing = shape_conflict(path, scale_xy)
        except SourceError as error:
            return AngleRow(path.name, failure="unreadable", detail=str(error))
        found = angle_row(path.name, labels, symphysis=axis, head=tangent, inferior=side, scale_xy=scale_xy)
        return _warned(found, spacing)

    rows = list(track(map_cases(files, row, workers), "measured", total=len(files)))
    _write(out, [field.name for field in fields(AngleRow)], [asdict(one) for one in rows])
    _tell(rows, out, "aop_deg", "degrees")
    _tell_warned(rows, "file_spacing", SPACING)
    _end(rows)


def _head(path: Path, size: "PixelSize", mapping: "MaskValues", label: int | None, inset_px: float) -> "HeadRow":
    """The row of one mask."""
    from fulora.biometry.rows import HeadRow, head_row
    from fulora.intake.masks.files import read_region
    from fulora.intake.masks.spacing import spacing_conflict
    from fulora.intake.masks.validation import check_background
    from fulora.intake.raw_image import SourceError

    try:
        region = read_region(path, mapping, label)
        check_background(region, path)
        mm, scale_xy = size.mm, size.scale_xy(region.shape)
        spacing = spacing_conflict(path, (mm * scale_xy[0], mm * scale_xy[1]))
    except SourceError as error:
        return HeadRow(path.name, failure="unreadable", detail=str(error))
    try:
        reshaped = size.reshaped(region.shape)
    except SourceError as error:
        return HeadRow(path.name, failure="no_pixel_size", detail=str(error))
    found = _warned(head_row(path.name, region, mm, scale_xy, inset_px=inset_px), spacing)
    return replace(found, warnings=f"{found.warnings} aspect_changed".strip()) if reshaped else found


def _warned(row: "Row", spacing: str) -> "Row":
    """The row, with the warning file_spacing where there is something to say of it."""
    if not spacing:
        return row
    warnings, detail = f"{row.warnings} file_spacing".strip(), "; ".join(filter(None, [row.detail, spacing]))
    return replace(row, warnings=warnings, detail=detail)


def _end(rows: "Sequence[HeadRow | AngleRow]") -> None:
    """Exit code 1 where every mask failed."""
    if all(row.failure for row in rows):
        raise typer.Exit(1)


def _mapping(folder: Path, files: Mapping[str, Path], given: str, workers: int) -> "MaskValues":
    """The mapping of the masks' values to classes, printed on standard error."""
    from fulora.intake.masks.value_mapping import find_mask_values, parse_values
    from fulora.progress import note

    mapping = find_mask_values({str(folder): files.values()}, parse_values(given), workers)
    if mapping.files:
        note(mapping.describe())
    return mapping


def _side(text: str) -> Literal["right", "left"]:
    if text == "right":
        return "right"
    if text == "left":
        return "left"
    raise ValueError(f"--inferior {text}: allowed are right and left")


def _size(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if text and not found:
        raise ValueError(f"--original-size {text}: give WIDTHxHEIGHT in pixels, such as 1024x768")
    return (int(found[1]), int(found[2])) if found else None


def _write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    from fulora.data.tables.delimited import csv_text

    cells = [[f"{row[name]:.7g}" if isinstance(row[name], float) else row[name] for name in columns] for row in rows]
    path.write_text(csv_text([columns, *cells]), encoding="utf-8", newline="")


def _tell(rows: "Sequence[HeadRow | AngleRow]", out: Path, column: str, unit: str) -> None:
    """Print how many were measured, their median, and failures and warnings by kind."""
    from collections import Counter
    from statistics import median

    values = [getattr(row, column) for row in rows if not row.failure]
    middle = f", median {median(values):.1f} {unit}" if values else ""
    print(f"{len(values)} of {len(rows)} masks measured{middle}; written to {out}")
    for kind, count in Counter(row.failure for row in rows if row.failure).most_common():
        print(f"failure {kind}: {count}")
    for kind, count in Counter(word for row in rows for word in row.warnings.split()).most_common():
        print(f"warning {kind}: {count}")


def _tell_warned(rows: "Sequence[HeadRow | AngleRow]", warning: str, what: str, advice: str = "") -> None:
    """Print on standard error how many rows have a warning, what it says, and the first of them."""
    from fulora.progress import note

    odd = [row for row in rows if warning in row.warnings.split()]
    if odd:
        note(f"{len(odd)} of {len(rows)} masks {what}, such as {odd[0].file_name}: {odd[0].detail}{advice}")


def _references(pixel_sizes: Path) -> dict[str, float]:
    """The reference circumferences of the list by case, mm; nothing where it has no such column."""
    from fulora.intake.pixel_sizes import REFERENCE, has_references, read_references

    return read_references(pixel_sizes, REFERENCE) if has_references(pixel_sizes) else {}


def _compare(rows: "Sequence[HeadRow]", references: Mapping[str, float]) -> None:
    """Print the agreement with the reference circumferences, if there are any of the measured heads."""
    from fulora.biometry.agreement import agreement
    from fulora.intake.masks.file_names import case_name

    pairs = [(row.hc_mm, references[case]) for row in rows if (case := case_name(Path(row.file_name))) in references]
    if sum(value is not None for value, _ in pairs) >= 2:
        found = agreement([value for value, _ in pairs], [truth for _, truth in pairs])
        print(
            f"measured minus reference: bias {found.bias:+.2f} mm (limits {found.low:+.2f} to {found.high:+.2f}), "
            f"ADF {found.adf:.2f} +- {found.adf_sd:.2f} mm ({found.relative_adf:.2%}), "
            f"{found.failures} of {found.n} failed"
        )
