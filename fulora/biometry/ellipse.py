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

Mask = Bool[np.ndarray, "h w"]
Contour = Float[np.ndarray, "points 2"]

MIN_AREA_PX = 30
MIN_POINTS = 5  # cv2.fitEllipse needs five
HC18_INSET_PX = 1.39
"""Half the width of HC18's drawn ring: (HC of the filled mask - reference HC) / 2 pi, 1.390 +- 0.030 px (296 heads)."""

Failure = Literal["empty_mask", "too_small", "too_few_points", "degenerate_fit", "end_inside_head", "axis_undefined"]


class MeasurementError(ValueError):
    """A mask that cannot be measured; `reason` names the kind of failure, `cause` describes it."""

    def __init__(self, reason: Failure, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason: Failure = reason
        self.cause = message


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
class Fit:
    """An ellipse in original pixels and how far to trust it.

    `fit_iou` (0..1) compares the component with the filled ellipse; `coverage` (0..1) is the share of the contour that
    does not lie on the image border; `components` counts those of the mask, of which the largest was fitted.
    """

    ellipse: Ellipse
    fit_iou: float
    coverage: float
    components: int


@dataclass(frozen=True)
class HeadMeasurement(Fit):
    """Outer-to-outer head size in mm (HC18's convention), the ellipse behind it and how far to trust it."""

    hc_mm: float
    bpd_mm: float
    ofd_mm: float

    @property
    def cephalic_index(self) -> float:
        """BPD / OFD; 0.72 to 0.88 covers 90 % of HC18."""
        return self.bpd_mm / self.ofd_mm


def measure_head(
    mask: Mask, pixel_size_mm: float, scale_xy: tuple[float, float] = (1.0, 1.0), *, inset_px: float = 0.0
) -> HeadMeasurement:
    """HC (ellipse perimeter), BPD (2b) and OFD (2a) of the largest component.

    Args:
        pixel_size_mm: of the original image.
        scale_xy: original size / mask size per axis, (W0 / w, H0 / h).
        inset_px: how far inside the mask's outer edge the measured line runs, original pixels. HC18's masks hold the
            ring that was drawn along the skull, and its reference HC is the ring's centre line: `HC18_INSET_PX`.

    Raises:
        MeasurementError: as `fit_mask`, and degenerate_fit if the inset leaves nothing of the head.
    """
    if not (math.isfinite(pixel_size_mm) and pixel_size_mm > 0):
        raise ValueError(f"pixel_size_mm is {pixel_size_mm}; it must be positive: mm per pixel of the original image")
    if not (math.isfinite(inset_px) and inset_px >= 0):
        raise ValueError(f"inset_px is {inset_px}; it must be 0 or more pixels of the original image")
    fit = fit_mask(mask, scale_xy)
    a, b = fit.ellipse.a - inset_px, fit.ellipse.b - inset_px
    if b <= 0:
        raise MeasurementError(
            "degenerate_fit", f"the inset of {inset_px} px leaves nothing of {2 * fit.ellipse.b:.1f} px"
        )
    hc_mm = perimeter(a, b) * pixel_size_mm
    return HeadMeasurement(**vars(fit), hc_mm=hc_mm, bpd_mm=2 * b * pixel_size_mm, ofd_mm=2 * a * pixel_size_mm)


def fit_mask(mask: Mask, scale_xy: tuple[float, float] = (1.0, 1.0)) -> Fit:
    """Fit an ellipse by least squares (Fitzgibbon & Fisher 1995, cv2.fitEllipse) to the largest component of a mask.

    The component is 8-connected and covers most pixels, its holes included: of a drawn outline and what stands inside
    it the outline is taken. Contour points on the image border are left out, since a clipped arc would bend the fit. A
    resize is undone per axis before the fit, by `scale_xy` = (W0 / w, H0 / h). The contour runs through the centres of
    the outermost pixels, so half a mask pixel is added to each semi axis.

    Raises:
        MeasurementError: empty_mask, too_small (< 30 px), too_few_points (< 5) or degenerate_fit.
    """
    if min(scale_xy) <= 0 or not all(map(math.isfinite, scale_xy)):
        raise ValueError(f"scale_xy is {scale_xy}; both values must be positive: original size / mask size for x and y")
    component, contour, components = _outlined(mask)
    ellipse = _fit_contour(component, contour, scale_xy)
    drawn = ellipse_mask(ellipse, component.shape, scale_xy)
    return Fit(
        ellipse=ellipse,
        fit_iou=np.count_nonzero(component & drawn) / np.count_nonzero(component | drawn),
        coverage=float(_off_border(contour, component.shape).mean()),
        components=components,
    )


def perimeter(a: float, b: float) -> float:
    """Perimeter of an ellipse with semi axes a and b, by Ramanujan's second formula (1914).

    h = ((a-b)/(a+b))^2; P = pi (a+b) (1 + 3h / (10 + sqrt(4-3h))). Relative error below 1e-7 for b/a >= 0.5.
    """
    if min(a, b) <= 0:
        raise ValueError(f"semi axes are {a} and {b}; both must be positive")
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def ellipse_mask(ellipse: Ellipse, shape: tuple[int, ...], scale_xy: tuple[float, float] = (1.0, 1.0)) -> Mask:
    """Filled ellipse on a (height, width) grid: pixels whose centres lie inside. `scale_xy` as in `fit_mask`."""
    cos, sin = math.cos(math.radians(ellipse.angle_deg)), math.sin(math.radians(ellipse.angle_deg))
    columns = _span(ellipse.x, math.hypot(ellipse.a * cos, ellipse.b * sin), scale_xy[0], shape[1])
    rows = _span(ellipse.y, math.hypot(ellipse.a * sin, ellipse.b * cos), scale_xy[1], shape[0])
    y = (np.arange(rows.start, rows.stop) + 0.5) * scale_xy[1] - 0.5 - ellipse.y
    # Inside, for a row: p x^2 - 2 q x + r <= 0, with x from the centre.
    p = (cos / ellipse.a) ** 2 + (sin / ellipse.b) ** 2
    q = y * cos * sin * (1 / ellipse.b**2 - 1 / ellipse.a**2)
    r = y**2 * ((sin / ellipse.a) ** 2 + (cos / ellipse.b) ** 2) - 1
    half = np.sqrt(np.maximum(q**2 - p * r, 0)) / p
    x = (np.arange(columns.start, columns.stop, dtype=np.float64) + 0.5) * scale_xy[0] - 0.5 - ellipse.x
    first, last = np.searchsorted(x, q / p - half), np.searchsorted(x, q / p + half, side="right")
    last[q**2 < p * r] = 0
    drawn = np.zeros(shape, dtype=bool)
    across = np.arange(columns.stop - columns.start)
    drawn[rows, columns] = (across >= first[:, None]) & (across < last[:, None])
    return drawn


def _span(centre: float, reach: float, scale: float, length: int) -> slice:
    first, last = (centre - reach + 0.5) / scale - 1, (centre + reach + 0.5) / scale + 1
    start = min(length, max(0, math.floor(first)))
    return slice(start, min(length, max(start, math.ceil(last))))


def _outlined(mask: Mask) -> tuple[Mask, Contour, int]:
    """The largest component with its holes filled, its outer contour, and how many outermost components there are."""
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    outer, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outer:
        raise MeasurementError("empty_mask", f"no pixel of the {mask.shape[0]} x {mask.shape[1]} mask is set")
    biggest = max(outer, key=_pixels_within)
    filled = cv2.drawContours(np.zeros_like(pixels), [biggest], -1, 1, cv2.FILLED)
    return filled.view(bool), biggest.reshape(-1, 2).astype(np.float64), len(outer)


def _pixels_within(contour: np.ndarray) -> float:
    """How many pixels a contour holds, itself included, by Pick's theorem (1899): area + boundary / 2 + 1."""
    return float(cv2.contourArea(contour)) + len(contour) / 2 + 1


def _fit_contour(component: Mask, contour: Contour, scale_xy: tuple[float, float]) -> Ellipse:
    area = np.count_nonzero(component)
    if area < MIN_AREA_PX:
        raise MeasurementError("too_small", f"the largest component has {area} px, at least {MIN_AREA_PX} are needed")
    inner = contour[_off_border(contour, component.shape)]
    if len(inner) < MIN_POINTS:
        raise MeasurementError(
            "too_few_points", f"{len(inner)} contour points lie off the image border, {MIN_POINTS} are needed"
        )
    scaled = (inner + 0.5) * scale_xy - 0.5
    centre, axes, angle_deg = cv2.fitEllipse(scaled.astype(np.float32))
    return _enlarged(centre, axes, angle_deg, scale_xy)


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
