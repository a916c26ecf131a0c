"""Measurements as rows of a table: one row a mask; failures are named in it."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

from fulora.biometry.angle import measure_angle
from fulora.biometry.ellipse import MeasurementError, measure_head
from fulora.biometry.gestational_age import gestational_age_weeks
from fulora.biometry.quality import angle_warnings, field_of_view_mm, head_warnings
from fulora.biometry.side import Side

HC18_COLUMNS = ("filename", "center_x_mm", "center_y_mm", "semi_axes_a_mm", "semi_axes_b_mm", "angle_rad")
"""Of a submission to the HC18 challenge."""


@dataclass(frozen=True)
class HeadRow:
    """One head: sizes in mm, the ellipse in original pixels, or why it failed. `ga_weeks` is for research only."""

    file_name: str
    hc_mm: float | None = None
    bpd_mm: float | None = None
    ofd_mm: float | None = None
    cephalic_index: float | None = None
    ga_weeks: float | None = None
    pixel_size_mm: float | None = None
    center_x_px: float | None = None
    center_y_px: float | None = None
    semi_axis_a_px: float | None = None
    semi_axis_b_px: float | None = None
    angle_deg: float | None = None
    fit_iou: float | None = None
    coverage: float | None = None
    warnings: str = ""
    failure: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AngleRow:
    """One angle of progression, degrees, or why there is none; lengths are original pixels."""

    file_name: str
    aop_deg: float | None = None
    symphysis_axis_ratio: float | None = None
    symphysis_length_px: float | None = None
    head_axis_ratio: float | None = None
    head_fit_iou: float | None = None
    head_coverage: float | None = None
    warnings: str = ""
    failure: str = ""
    detail: str = ""


def head_row(
    file_name: str,
    mask: Bool[np.ndarray, "_ _"],
    pixel_size_mm: float,
    scale_xy: tuple[float, float] = (1.0, 1.0),
    *,
    inset_px: float = 0.0,
) -> HeadRow:
    """`measure_head` as a row. Raises ValueError for an invalid pixel size, scale or inset; never for a mask."""
    try:
        head = measure_head(mask, pixel_size_mm, scale_xy, inset_px=inset_px)
    except MeasurementError as error:
        return HeadRow(file_name, pixel_size_mm=pixel_size_mm, failure=error.reason, detail=error.cause)
    warnings, age = list[str](head_warnings(head)), None
    view = field_of_view_mm(mask.shape[1] * scale_xy[0], mask.shape[0] * scale_xy[1], pixel_size_mm)
    if view:
        warnings.append("field_of_view")
    try:
        age = gestational_age_weeks(head.hc_mm)
    except ValueError:
        warnings.append("no_gestational_age")
    return HeadRow(
        file_name,
        hc_mm=head.hc_mm,
        bpd_mm=head.bpd_mm,
        ofd_mm=head.ofd_mm,
        cephalic_index=head.cephalic_index,
        ga_weeks=age,
        pixel_size_mm=pixel_size_mm,
        center_x_px=head.ellipse.x,
        center_y_px=head.ellipse.y,
        semi_axis_a_px=head.ofd_mm / 2 / pixel_size_mm,
        semi_axis_b_px=head.bpd_mm / 2 / pixel_size_mm,
        angle_deg=head.ellipse.angle_deg,
        fit_iou=head.fit_iou,
        coverage=head.coverage,
        warnings=" ".join(warnings),
        detail=view and f"a field of view of {view}",
    )


def angle_row(
    file_name: str,
    labels: Integer[np.ndarray, "_ _"],
    *,
    symphysis: int = 1,
    head: int = 2,
    inferior: Side = "right",
    scale_xy: tuple[float, float] = (1.0, 1.0),
) -> AngleRow:
    """`measure_angle` as a row. Raises ValueError for invalid labels or an invalid scale; never for a mask."""
    try:
        measured = measure_angle(labels, symphysis=symphysis, head=head, inferior=inferior, scale_xy=scale_xy)
    except MeasurementError as error:
        return AngleRow(file_name, failure=error.reason, detail=error.cause)
    return AngleRow(
        file_name,
        aop_deg=measured.aop_deg,
        symphysis_axis_ratio=measured.axis_ratio,
        symphysis_length_px=2 * measured.symphysis.ellipse.a,
        head_axis_ratio=measured.head.ellipse.b / measured.head.ellipse.a,
        head_fit_iou=measured.head.fit_iou,
        head_coverage=measured.head.coverage,
        warnings=" ".join(angle_warnings(measured)),
    )


def hc18_row(row: HeadRow) -> dict[str, float | str]:
    """One head as a line of an HC18 submission: `HC18_COLUMNS`, lengths in mm.

    Pixel (0, 0) has its centre at 0 mm; the angle is that of the major axis from +x towards +y (down), 0 to pi.

    Raises:
        ValueError: if the head could not be measured, or the field of view is implausible: the pixel size is wrong.
    """
    if "field_of_view" in row.warnings.split():
        raise ValueError(
            f"{row.file_name}: {row.detail}, which no fetal scan has, so every mm is wrong: correct the list of pixel "
            "sizes (mm a pixel of the original), and give its width and height there if masks were resized"
        )
    size, x, y, angle = row.pixel_size_mm, row.center_x_px, row.center_y_px, row.angle_deg
    if row.ofd_mm is None or row.bpd_mm is None or size is None or x is None or y is None or angle is None:
        raise ValueError(f"{row.file_name}: {row.failure}; a submission to HC18 needs every head: mend its mask")
    values = (x * size, y * size, row.ofd_mm / 2, row.bpd_mm / 2, math.radians(angle))
    return dict(zip(HC18_COLUMNS, (row.file_name, *values), strict=True))
