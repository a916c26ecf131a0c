"""Head size from a mask: fit an ellipse, then HC, BPD and OFD.

Pixel centres have whole coordinates, x to the right and y down, as in OpenCV.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

Mask = Bool[np.ndarray, "h w"]
Contour = Float[np.ndarray, "points 2"]

MIN_AREA_PX = 30
MIN_POINTS = 5  # cv2.fitEllipse needs five

Failure = Literal["empty_mask", "too_small", "too_few_points", "degenerate_fit", "end_inside_head", "axis_undefined"]


class MeasurementError(ValueError):
    """A mask that cannot be measured; `reason` names the failure, so that failures can be counted by kind."""

    def __init__(self, reason: Failure, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason: Failure = reason


@dataclass(frozen=True)
class Ellipse:
    """Centre, semi axes a >= b > 0, and the major axis' direction: [0, 180) degrees from +x towards +y (down)."""

    x: float
    y: float
    a: float
    b: float
    angle_deg: float

    def __post_init__(self) -> None:
        if not (self.a >= self.b > 0 and math.isfinite(self.a + self.x + self.y) and 0 <= self.angle_deg < 180):
            raise ValueError(f"{self} is no ellipse; allowed are finite a >= b > 0 and 0 <= angle_deg < 180")


@dataclass(frozen=True)
class HeadMeasurement:
    """Outer-to-outer head size in mm (HC18's convention) and how far to trust it.

    `ellipse` is in original pixels. `fit_iou` (0..1) compares the mask with the filled ellipse; `coverage` (0..1) is
    the share of the contour that does not lie on the image border.
    """

    hc_mm: float
    bpd_mm: float
    ofd_mm: float
    ellipse: Ellipse
    fit_iou: float
    coverage: float

    @property
    def cephalic_index(self) -> float:
        """BPD / OFD; 0.72 to 0.88 covers 90 % of HC18."""
        return self.bpd_mm / self.ofd_mm


def measure_head(mask: Mask, pixel_size_mm: float, scale_xy: tuple[float, float] = (1.0, 1.0)) -> HeadMeasurement:
    """HC (ellipse perimeter), BPD (2b) and OFD (2a) of the largest component.

    `scale_xy` is original size / mask size per axis, (W0 / w, H0 / h); `pixel_size_mm` belongs to the original image.
    Raises MeasurementError as `fit_ellipse` does.
    """
    if not (math.isfinite(pixel_size_mm) and pixel_size_mm > 0):
        raise ValueError(f"pixel_size_mm is {pixel_size_mm}; it must be positive: mm per pixel of the original image")
    _check_scale(scale_xy)
    component = largest_component(mask)
    ellipse = _fit_component(component, scale_xy)
    drawn = ellipse_mask(ellipse, component.shape, scale_xy)
    return HeadMeasurement(
        hc_mm=perimeter(ellipse.a, ellipse.b) * pixel_size_mm,
        bpd_mm=2 * ellipse.b * pixel_size_mm,
        ofd_mm=2 * ellipse.a * pixel_size_mm,
        ellipse=ellipse,
        fit_iou=float((component & drawn).sum() / (component | drawn).sum()),
        coverage=float(_off_border(_contour(component), component.shape).mean()),
    )


def fit_ellipse(mask: Mask, scale_xy: tuple[float, float] = (1.0, 1.0)) -> Ellipse:
    """Least-squares ellipse (Fitzgibbon & Fisher 1995, cv2.fitEllipse) of the largest component, in original pixels.

    Holes do not count. Contour points on the image border are left out, since a clipped arc would bend the fit. A
    resize is undone per axis before the fit, by `scale_xy` = (W0 / w, H0 / h). The contour runs through the centres of
    the outermost pixels, so half a mask pixel is added to each semi axis.

    Raises MeasurementError: empty_mask, too_small (< 30 px), too_few_points (< 5), degenerate_fit.
    """
    _check_scale(scale_xy)
    return _fit_component(largest_component(mask), scale_xy)


def perimeter(a: float, b: float) -> float:
    """Perimeter of an ellipse with semi axes a and b, by Ramanujan's second formula (1914).

    h = ((a-b)/(a+b))^2; P = pi (a+b) (1 + 3h / (10 + sqrt(4-3h))). Relative error below 1e-7 for b/a >= 0.5.
    """
    if min(a, b) <= 0:
        raise ValueError(f"semi axes are {a} and {b}; both must be positive")
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def ellipse_mask(ellipse: Ellipse, shape: tuple[int, ...], scale_xy: tuple[float, float] = (1.0, 1.0)) -> Mask:
    """Filled ellipse on a (height, width) grid: pixels whose centres lie inside. `scale_xy` as in `fit_ellipse`."""
    x = (np.arange(shape[1]) + 0.5) * scale_xy[0] - 0.5 - ellipse.x
    y = ((np.arange(shape[0]) + 0.5) * scale_xy[1] - 0.5 - ellipse.y)[:, None]
    cos, sin = math.cos(math.radians(ellipse.angle_deg)), math.sin(math.radians(ellipse.angle_deg))
    along, across = (x * cos + y * sin) / ellipse.a, (y * cos - x * sin) / ellipse.b
    return np.asarray(along**2 + across**2 <= 1)


def largest_component(mask: Mask) -> Mask:
    """The 8-connected component with the most pixels, holes filled. Raises MeasurementError (empty_mask)."""
    count, labels, table, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 1:
        raise MeasurementError("empty_mask", f"no pixel of the {mask.shape[0]} x {mask.shape[1]} mask is set")
    biggest = 1 + int(np.argmax(table[1:, cv2.CC_STAT_AREA]))
    return np.asarray(ndimage.binary_fill_holes(labels == biggest))


def _fit_component(component: Mask, scale_xy: tuple[float, float]) -> Ellipse:
    area = int(component.sum())
    if area < MIN_AREA_PX:
        raise MeasurementError("too_small", f"the largest component has {area} px, at least {MIN_AREA_PX} are needed")
    contour = _contour(component)
    contour = contour[_off_border(contour, component.shape)]
    if len(contour) < MIN_POINTS:
        raise MeasurementError(
            "too_few_points", f"{len(contour)} contour points lie off the image border, {MIN_POINTS} are needed"
        )
    scaled = (contour + 0.5) * scale_xy - 0.5
    centre, axes, angle_deg = cv2.fitEllipse(scaled.astype(np.float32))
    return _enlarged(centre, axes, angle_deg, scale_xy)


def _contour(component: Mask) -> Contour:
    contours, _ = cv2.findContours(component.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.concatenate(contours).reshape(-1, 2).astype(np.float64)


def _off_border(contour: Contour, shape: tuple[int, ...]) -> Bool[np.ndarray, " points"]:
    x, y = contour.T
    return np.asarray((x > 0) & (y > 0) & (x < shape[1] - 1) & (y < shape[0] - 1))


def _enlarged(
    centre: Sequence[float], axes: Sequence[float], angle_deg: float, scale_xy: tuple[float, float]
) -> Ellipse:
    """OpenCV's centre, full axes and angle of the first axis as an Ellipse that is half a mask pixel larger all round.

    A tangent with unit normal n in original pixels moves out by 0.5 |S n| when it moves half a pixel of the mask.
    """
    first, second = axes
    if not (math.isfinite(first + second) and min(first, second) >= min(scale_xy)):  # a line, one mask pixel wide
        raise MeasurementError("degenerate_fit", f"the contour gives axes of {first:.1f} and {second:.1f} px, a line")
    theta = math.radians(angle_deg if first >= second else angle_deg + 90)
    cos, sin = math.cos(theta), math.sin(theta)
    a = max(first, second) / 2 + 0.5 * math.hypot(scale_xy[0] * cos, scale_xy[1] * sin)
    b = min(first, second) / 2 + 0.5 * math.hypot(scale_xy[0] * sin, scale_xy[1] * cos)
    if b > a:  # near-circular under an uneven scale
        a, b, theta = b, a, theta + math.pi / 2
    angle = math.degrees(theta) % 180
    return Ellipse(centre[0], centre[1], a, b, 0.0 if angle == 180 else angle)  # -1e-17 % 180 is 180


def _check_scale(scale_xy: tuple[float, float]) -> None:
    if min(scale_xy) <= 0 or not all(map(math.isfinite, scale_xy)):
        raise ValueError(f"scale_xy is {scale_xy}; both values must be positive: original size / mask size for x and y")
