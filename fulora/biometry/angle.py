"""Angle of progression (AoP) from a label map with pubic symphysis and fetal head.

AoP is the angle at the inferior end of the symphysis between its long axis and the tangent to the head
(Barbera et al. 2009). `inferior` says on which side of the image the inferior end lies: "right" in the PSFHS images.
For mirrored images it is "left".
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from fulora.biometry.ellipse import Ellipse, Fit, MeasurementError, fit_mask
from fulora.biometry.side import Side

Point = Float[np.ndarray, "2"]

MIN_AXIS_RATIO = 1.2  # below this a symphysis has no reliable long axis


@dataclass(frozen=True)
class AngleMeasurement:
    """AoP (0..180 degrees) and the two fitted ellipses behind it."""

    aop_deg: float
    symphysis: Fit
    head: Fit

    @property
    def axis_ratio(self) -> float:
        """Long over short axis of the symphysis: the higher, the surer its direction, which moves AoP one to one."""
        return self.symphysis.ellipse.a / self.symphysis.ellipse.b


def measure_angle(
    label_map: Integer[np.ndarray, "h w"],
    *,
    symphysis: int = 1,
    head: int = 2,
    inferior: Side = "right",
    scale_xy: tuple[float, float] = (1.0, 1.0),
) -> AngleMeasurement:
    """AoP from ellipses fitted to the largest component of each class, and how far to trust them.

    Args:
        symphysis, head: their labels.
        inferior: the side of the image on which the symphysis' inferior end lies.
        scale_xy: original size / mask size for x and y: an uneven resize changes angles, and is undone first.

    Raises:
        MeasurementError: its `reason` names the failure: empty_mask (class missing), too_small, too_few_points,
            degenerate_fit, axis_undefined (symphysis axis ratio < 1.2), end_inside_head. Nothing scores as 0.
    """
    if symphysis == head:
        raise ValueError(f"symphysis and head are both label {head}; give two different labels")
    fits = [_fit_class(label_map, label, name, scale_xy) for label, name in ((symphysis, "symphysis"), (head, "head"))]
    return AngleMeasurement(angle_between(fits[0].ellipse, fits[1].ellipse, inferior=inferior), *fits)


def angle_between(symphysis: Ellipse, head: Ellipse, *, inferior: Side = "right") -> float:
    """AoP in degrees of two ellipses: the tangent kept is the one whose contact point lies furthest to `inferior`."""
    if inferior not in ("right", "left"):
        raise ValueError(f"inferior is {inferior!r}; allowed are 'right' and 'left', the side of the inferior end")
    if symphysis.a < MIN_AXIS_RATIO * symphysis.b:
        raise MeasurementError(
            "axis_undefined",
            f"the symphysis has axis ratio {symphysis.a / symphysis.b:.2f}; its axis needs {MIN_AXIS_RATIO}",
        )
    theta = math.radians(symphysis.angle_deg)
    reach = symphysis.a * np.array([math.cos(theta), math.sin(theta)])
    sign = 1 if inferior == "right" else -1
    if sign * reach[0] < 0:
        reach = -reach
    lower = np.array([symphysis.x, symphysis.y]) + reach
    contacts = tangent_points(head, lower)
    contact = max(contacts, key=lambda point: sign * float(point[0]))
    along, tangent = -2 * reach, contact - lower
    cosine = float(along @ tangent) / float(np.linalg.norm(along) * np.linalg.norm(tangent))
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


def tangent_points(ellipse: Ellipse, point: Point) -> tuple[Point, Point]:
    """The two points where tangents from `point` (x, y) touch the ellipse.

    An affine map takes the ellipse to the unit circle, where with q the image of the point the contacts are
    q / q^2 +- sqrt(q^2 - 1) / q^2 (-q_y, q_x); the inverse map keeps tangency. No slopes, so no vertical special case.
    Raises MeasurementError (end_inside_head) if the point lies in or on the ellipse.
    """
    theta = math.radians(ellipse.angle_deg)
    rotation = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    centre, axes = np.array([ellipse.x, ellipse.y]), np.array([ellipse.a, ellipse.b])
    q = rotation.T @ (point - centre) / axes
    squared = float(q @ q)
    if squared <= 1:
        raise MeasurementError(
            "end_inside_head",
            f"the inferior end ({point[0]:.1f}, {point[1]:.1f}) lies inside the head's ellipse: no tangent exists",
        )
    aside = math.sqrt(squared - 1) / squared * np.array([-q[1], q[0]])
    first, second = (centre + rotation @ (axes * t) for t in (q / squared + aside, q / squared - aside))
    return first, second


def _fit_class(label_map: Integer[np.ndarray, "h w"], label: int, name: str, scale_xy: tuple[float, float]) -> Fit:
    try:
        return fit_mask(label_map == label, scale_xy)
    except MeasurementError as error:
        raise MeasurementError(error.reason, f"{name} (label {label}): {error.cause}") from error
