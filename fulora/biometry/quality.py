"""Warnings about a measurement that was made, but of a shape that hardly is a head, or a symphysis with a sure axis.

The limits stand a little outside what reference masks show, 296 of HC18 and 300 of PSFHS: a warning asks for a look.
"""

from dataclasses import dataclass
from typing import Literal

from fulora.biometry.angle import AngleMeasurement
from fulora.biometry.ellipse import Fit

Warned = Literal[
    "cut_by_border", "not_an_ellipse", "axis_ratio", "several_components", "symphysis_nearly_round", "field_of_view"
]

SURE_AXIS_RATIO = 1.3
"""Of a symphysis; the least of PSFHS' reference masks is 1.33."""


FIELD_OF_VIEW_MM = (35.0, 400.0)
"""Of a picture's longer side: HC18's are 40 to 279 mm; scanners reach 30 cm deep, where a convex probe sees 40 cm."""


def field_of_view_mm(width_px: float, height_px: float, pixel_size_mm: float) -> str:
    """What a picture shows in mm, `5.5 x 3.7 mm`, where no fetal scan shows so little or so much; "" where one may."""
    low, high = FIELD_OF_VIEW_MM
    if low <= max(width_px, height_px) * pixel_size_mm <= high:
        return ""
    return f"{width_px * pixel_size_mm:.1f} x {height_px * pixel_size_mm:.1f} mm"


@dataclass(frozen=True)
class ShapeLimits:
    """What a head has: coverage and fit IoU (0..1) of at least these, short / long axis between the two."""

    coverage: float
    fit_iou: float
    axis_ratio: tuple[float, float]


STANDARD_PLANE = ShapeLimits(0.75, 0.95, (0.62, 0.95))
"""HC18's reference masks: fit IoU 0.998 or more, axis ratio 0.66 to 0.92."""

DURING_LABOUR = ShapeLimits(0.75, 0.88, (0.56, 0.99))
"""PSFHS' reference masks: fit IoU 0.888 or more, axis ratio 0.58 to 0.987."""


def head_warnings(fit: Fit, limits: ShapeLimits = STANDARD_PLANE) -> tuple[Warned, ...]:
    """What is unusual about a head.

    cut_by_border: too much of its contour lies on the image border; not_an_ellipse: its IoU with the fitted ellipse is
    low; axis_ratio: too long or too round; several_components: the mask has others, which were left out.
    """
    shortest, longest = limits.axis_ratio
    found: dict[Warned, bool] = {
        "cut_by_border": fit.coverage < limits.coverage,
        "not_an_ellipse": fit.fit_iou < limits.fit_iou,
        "axis_ratio": not shortest <= fit.ellipse.b / fit.ellipse.a <= longest,
        "several_components": fit.components > 1,
    }
    return tuple(name for name, is_so in found.items() if is_so)


def angle_warnings(measured: AngleMeasurement) -> tuple[Warned, ...]:
    """What is unusual about an angle: the head's warnings, and symphysis_nearly_round, whose axis a few pixels turn."""
    found = list(head_warnings(measured.head, DURING_LABOUR))
    if measured.symphysis.components > 1 and "several_components" not in found:
        found.append("several_components")
    if measured.axis_ratio < SURE_AXIS_RATIO:
        found.append("symphysis_nearly_round")
    return tuple(found)
