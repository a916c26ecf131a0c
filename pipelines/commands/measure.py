"""`fulora measure`: head circumference and angle of progression of a folder of masks."""

import re
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from fulora.biometry.side import Side
from fulora.progress import note
from pipelines.commands.options import MaskValuesOption, Threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fulora.biometry.measurement_rows import AngleRow, HeadRow

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure masks: HC in mm, AoP in degrees.")

VIEW = "have a field of view that no fetal scan has"
VIEW_ADVICE = "; is the pixel size that of the original in mm, and were masks resized?"
SPACING = "state a pixel spacing that contradicts what they are measured with"

Masks = Annotated[Path, typer.Argument(help="Folder of masks: PNG, MHA or NIfTI; only *_Mask files if there are any.")]
Out = Annotated[Path, typer.Option(help="CSV to write: one row for each mask.")]


@app.callback()
def group() -> None:
    """Measure masks. For research only, never for patient care."""


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
        typer.Option(help="Class number of the head if masks hold several and no label set beside them names it."),
    ] = None,
    inset_px: Annotated[
        float,
        typer.Option(help="Measure a line this far inside the mask's edge; 1.39 is the line of HC18's references."),
    ] = 0.0,
    submission: Annotated[Path | None, typer.Option(help="Also write a submission file of the HC18 challenge.")] = None,
    values: MaskValuesOption = "",
    workers: Threads = 2,
) -> None:
    """Head circumference, BPD and OFD in mm by an ellipse, outer to outer.

    Columns: file_name, hc_mm, bpd_mm, ofd_mm, cephalic_index, ga_weeks (Hadlock 1984, research only), the ellipse in
    pixels of the original, fit_iou, coverage, warnings, and failure with detail: empty_mask, too_small,
    too_few_points, degenerate_fit, no_pixel_size, unreadable. A failure keeps its row; the exit code is 1 if nothing
    could be measured. The warning field_of_view means that pixel size x width is implausible for a fetal scan; no
    submission is written then. The warning file_spacing means that an MHA or NIfTI file states another spacing than the
    list, which counts. The warning aspect_changed means that the list has another aspect ratio than the mask; exchanged
    width and height are a failure.

    If the list has HC18's column of reference circumferences, bias and mean absolute difference (ADF) are printed.

    Examples:

      fulora measure hc masks --pixel-sizes training_set_pixel_size_and_HC.csv --out hc.csv

      fulora measure hc training_set --pixel-sizes training_set_pixel_size_and_HC.csv --inset-px 1.39 --out hc.csv

      fulora measure hc predicted --pixel-sizes test_set_pixel_size.csv --out hc.csv --submission submission.csv
    """
    from fulora.intake.masks.value_mapping import parse_values
    from pipelines.jobs.measure import measure

    heads = measure(
        masks,
        "hc",
        pixel_sizes=pixel_sizes,
        label=label,
        inset_px=inset_px,
        values=parse_values(values),
        workers=workers,
    )
    heads.write(out)
    _print_summary(heads.rows, out, "hc_mm", "mm")
    _note_warning(heads.rows, "field_of_view", VIEW, VIEW_ADVICE)
    _note_warning(heads.rows, "file_spacing", SPACING)
    if (agreed := heads.agreement) is not None:
        print(
            f"measured minus reference: bias {agreed.bias:+.2f} mm (limits {agreed.low:+.2f} to {agreed.high:+.2f}), "
            f"ADF {agreed.adf:.2f} +- {agreed.adf_sd:.2f} mm ({agreed.relative_adf:.2%}), "
            f"{agreed.failures} of {agreed.n} failed"
        )
    if submission is not None:
        heads.write_hc18_submission(submission)
    _fail_without_measurements(heads.rows)


@app.command()
def aop(
    masks: Masks,
    out: Out,
    symphysis: Annotated[
        int | None, typer.Option(help="Class number of the pubic symphysis: the label set's beside the masks, else 1.")
    ] = None,
    head: Annotated[int | None, typer.Option(help="Class number of the fetal head: the label set's, else 2.")] = None,
    inferior: Annotated[
        Side, typer.Option(help="Side of the image on which the symphysis' inferior end lies: right in PSFHS.")
    ] = "right",
    original_size: Annotated[
        str, typer.Option(help="WIDTHxHEIGHT of the images if masks were resized to another shape.")
    ] = "",
    values: MaskValuesOption = "",
    workers: Threads = 2,
) -> None:
    """Angle of progression in degrees: the symphysis' axis and the tangent to the head's ellipse.

    Columns: file_name, aop_deg, symphysis_axis_ratio and symphysis_length_px, head_axis_ratio, head_fit_iou,
    head_coverage, warnings, and failure with detail: empty_mask, too_small, too_few_points, degenerate_fit,
    axis_undefined, end_inside_head, unreadable. A failure keeps its row, and is never an angle of 0; the exit code is 1
    if nothing could be measured. The warning file_spacing means that an MHA or NIfTI file states pixels of another
    shape than the angle assumes.

    Examples:

      fulora measure aop label_mha --out aop.csv

      fulora measure aop predicted --out aop.csv --symphysis 2 --head 1 --inferior left

      fulora measure aop predicted_256 --out aop.csv --original-size 1024x768
    """
    from fulora.intake.masks.value_mapping import parse_values
    from pipelines.jobs.measure import measure

    angles = measure(
        masks,
        "aop",
        symphysis=symphysis,
        head=head,
        inferior=inferior,
        original_size=_size(original_size),
        values=parse_values(values),
        workers=workers,
    )
    angles.write(out)
    rows = angles.rows
    _print_summary(rows, out, "aop_deg", "degrees")
    _note_warning(rows, "file_spacing", SPACING)
    _fail_without_measurements(rows)


def _fail_without_measurements(rows: "Sequence[HeadRow | AngleRow]") -> None:
    """Exit with code 1 if every mask failed."""
    if all(row.failure for row in rows):
        raise typer.Exit(1)


def _size(text: str) -> tuple[int, int] | None:
    sides = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if text and not sides:
        raise ValueError(f"--original-size {text}: give WIDTHxHEIGHT in pixels, such as 1024x768")
    return (int(sides[1]), int(sides[2])) if sides else None


def _print_summary(rows: "Sequence[HeadRow | AngleRow]", out: Path, column: str, unit: str) -> None:
    """Print how many were measured, their median, and failures and warnings by kind."""
    values = [getattr(row, column) for row in rows if not row.failure]
    middle = f", median {median(values):.1f} {unit}" if values else ""
    print(f"{len(values)} of {len(rows)} masks measured{middle}; written to {out}")
    for kind, count in Counter(row.failure for row in rows if row.failure).most_common():
        print(f"failure {kind}: {count}")
    for kind, count in Counter(word for row in rows for word in row.warnings.split()).most_common():
        print(f"warning {kind}: {count}")


def _note_warning(rows: "Sequence[HeadRow | AngleRow]", warning: str, meaning: str, advice: str = "") -> None:
    """Print on standard error how many rows have a warning, what it means, and the first of them."""
    warned = [row for row in rows if warning in row.warnings.split()]
    if warned:
        first = warned[0]
        note(f"{len(warned)} of {len(rows)} masks {meaning}, such as {first.file_name}: {first.detail}{advice}")
