"""Warnings about measurements of implausible shapes: of a head, or of a symphysis without a reliable axis.

The limits lie slightly outside the range of reference masks, 296 of HC18 and 300 of PSFHS.
"""

from dataclasses import dataclass
from typing import Literal

from fulora.biometry.angle import AngleMeasurement
from fulora.biometry.ellipse import Fit

Warned = Literal[
    "cut_by_border", "not_an_ellipse", "axis_ratio", "several_components", "symphysis_nearly_round", "field_of_view"
]

SURE_AXIS_RATIO = 1.3
"""Least axis ratio of a symphysis for a reliable axis; the least of PSFHS' reference masks is 1.33."""


FIELD_OF_VIEW_MM = (35.0, 400.0)
"""Of a picture's longer side: HC18's are 40 to 279 mm; scanners reach 30 cm deep, where a convex probe sees 40 cm."""


def field_of_view_mm(width_px: float, height_px: float, pixel_size_mm: float) -> str:
    """Return the field of view, such as `5.5 x 3.7 mm`, if it is implausible for a fetal scan; else ""."""
    low, high = FIELD_OF_VIEW_MM
    if low <= max(width_px, height_px) * pixel_size_mm <= high:
        return ""
    return f"{width_px * pixel_size_mm:.1f} x {height_px * pixel_size_mm:.1f} mm"


@dataclass(frozen=True)
class ShapeLimits:
    """Usual values of a head: least coverage and fit IoU (0..1), range of short / long axis."""

    coverage: float
    fit_iou: float
    axis_ratio: tuple[float, float]


STANDARD_PLANE = ShapeLimits(0.75, 0.95, (0.62, 0.95))
"""HC18's reference masks: fit IoU 0.998 or more, axis ratio 0.66 to 0.92."""

DURING_LABOUR = ShapeLimits(0.75, 0.88, (0.56, 0.99))
"""PSFHS' reference masks: fit IoU 0.888 or more, axis ratio 0.58 to 0.987."""


def head_warnings(fit: Fit, limits: ShapeLimits = STANDARD_PLANE) -> tuple[Warned, ...]:
    """Return what is unusual about a head.

    cut_by_border: too much of its contour lies on the image border; not_an_ellipse: its IoU with the fitted ellipse is
    low; axis_ratio: too long or too round; several_components: the mask has others, which were left out.
    """
    shortest, longest = limits.axis_ratio
    warnings: dict[Warned, bool] = {
        "cut_by_border": fit.coverage < limits.coverage,
        "not_an_ellipse": fit.fit_iou < limits.fit_iou,
        "axis_ratio": not shortest <= fit.ellipse.b / fit.ellipse.a <= longest,
        "several_components": fit.components > 1,
    }
    return tuple(name for name, applies in warnings.items() if applies)


def angle_warnings(measured: AngleMeasurement) -> tuple[Warned, ...]:
    """Return what is unusual about an angle: as for the head, and symphysis_nearly_round: its axis is unreliable."""
    warnings = list(head_warnings(measured.head, DURING_LABOUR))
    if measured.symphysis.components > 1 and "several_components" not in warnings:
        warnings.append("several_components")
    if measured.axis_ratio < SURE_AXIS_RATIO:
        warnings.append("symphysis_nearly_round")
    return tuple(warnings)
