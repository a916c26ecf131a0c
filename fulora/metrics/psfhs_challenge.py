"""Scores of the PSFHS / FH-PS-AOP challenge (MICCAI 2023) as its organisers compute them, quirks included.

For figures that stand beside a published leaderboard; for anything else use `fulora.metrics.segmentation`. Label 1 is
the pubic symphysis (PS), 2 the fetal head (FH), ALL their union; distances are pixels. What differs from a plain score:

1. Dice adds 1 to numerator and denominator.
2. HD runs over regions, not surfaces, so a hole costs little.
3. ASD runs between object pixels with a background pixel among their 8 neighbours; the image border is no edge. Its
   sums are 32-bit and run over the whole image, zeros included, which decides their last digits.
4. A class that the prediction lacks has Dice 0, HD 100, ASD 100.
5. An angle of progression that cannot be had is 0 degrees, on either side: two failures make no error.
6. Ellipses are fitted to the contour with the most points, simplified by one pixel, of six points or more.
7. Where no tangent exists because the symphysis ends inside the head, the slope is taken as 0.
8. Angles of the symphysis are turned into radians by 0.01745, those of the head by pi / 180.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from fulora.metrics.distances import distance_to, window_of

Mask = Bool[np.ndarray, "h w"]
LabelMap = UInt8[np.ndarray, "h w"]
Fitted = tuple[tuple[float, float], tuple[float, float], float]

MISSING_PX = 100.0
MIN_VERTICES = 6
RADIANS = 0.01745
NAMES = ("ps", "fh", "all")


class ChallengeError(ValueError):
    """Masks that the organisers' program cannot score either."""


@dataclass(frozen=True)
class ChallengeScores:
    """Figures of one image: `aop` is the absolute difference, degrees; Dice 0..1; HD and ASD in pixels."""

    aop_gt: float
    aop_pred: float
    aop: float
    dice_ps: float
    dice_fh: float
    dice_all: float
    hd_ps: float
    hd_fh: float
    hd_all: float
    asd_ps: float
    asd_fh: float
    asd_all: float


METRICS = tuple(field.name for field in fields(ChallengeScores))[2:]
"""The ten figures that are averaged."""


def score_pair(prediction: LabelMap, reference: LabelMap) -> ChallengeScores:
    """All figures of one image.

    Raises:
        ChallengeError: masks of different size, a label above 2, a class that the reference lacks, or a class that
            fills the whole image.
    """
    if prediction.shape != reference.shape:
        raise ChallengeError(
            f"the prediction has shape {prediction.shape} but the reference {reference.shape}; resize the prediction"
        )
    for name, labels in (("prediction", prediction), ("reference", reference)):
        if labels.max(initial=0) > 2:
            raise ChallengeError(
                f"the {name} holds the label {labels.max()}; 0, 1 (symphysis) and 2 (head) are allowed"
            )
    pairs = [(prediction == 1, reference == 1), (prediction == 2, reference == 2), (prediction > 0, reference > 0)]
    overlaps = [_class_scores(*pair, name) for name, pair in zip(NAMES, pairs, strict=True)]
    aop_gt, aop_pred = angle_of_progression(reference), angle_of_progression(prediction)
    dice, hd, asd = zip(*overlaps, strict=True)
    return ChallengeScores(aop_gt, aop_pred, abs(aop_pred - aop_gt), *dice, *hd, *asd)


def aggregate(rows: Sequence[ChallengeScores]) -> dict[str, float]:
    """The mean of each figure over images, and the challenge's score `S`.

    Raises:
        ChallengeError: no images.
    """
    if not rows:
        raise ChallengeError("no images; a score needs one or more")
    means = {name: float(np.mean([getattr(row, name) for row in rows])) for name in METRICS}
    return means | {"S": score_of(means)}


def score_of(means: Mapping[str, float]) -> float:
    """The challenge's score S of the ten means over images.

    S = 0.25 mean(DSC) + 0.125 (1 - mean(HD) / 100) + 0.125 (1 - mean(ASD) / 100) + 0.5 (1 - mean(AoP error) / 180),
    each mean over FH, PS and ALL; the first three are rounded to 8 digits.
    """
    dice, hd, asd = (sum(means[f"{kind}_{name}"] for name in NAMES) / 3 for kind in ("dice", "hd", "asd"))
    boundary = 0.125 * (1 - round(hd / 100, 8)) + 0.125 * (1 - round(asd / 100, 8))
    return 0.25 * round(dice, 8) + boundary + 0.5 * (1 - means["aop"] / 180)


def _class_scores(prediction: Mask, reference: Mask, name: str) -> tuple[float, float, float]:
    if not reference.any():
        raise ChallengeError(
            f"the reference has no pixel of class {name}; the challenge defines no score for it: leave the image out"
        )
    if not prediction.any():
        return 0.0, MISSING_PX, MISSING_PX
    if prediction.all() or reference.all():
        raise ChallengeError(f"class {name} fills the whole image; it has no edge, and the challenge no score for it")
    window = window_of(prediction | reference, margin=1)
    ours, theirs = prediction[window], reference[window]
    both, total = np.count_nonzero(ours & theirs), np.count_nonzero(ours) + np.count_nonzero(theirs)
    our_edge, their_edge = _edge(ours), _edge(theirs)
    to_ours, to_theirs = distance_to(our_edge), distance_to(their_edge)
    # The nearest pixel of a region to one outside it lies on the region's edge, so two distance maps serve HD and ASD.
    hd = max(to_theirs[ours & ~theirs].max(initial=0), to_ours[theirs & ~ours].max(initial=0))
    sums = [_sum_on(*one, window, prediction.shape) for one in ((their_edge, to_ours), (our_edge, to_theirs))]
    edges = np.float32(np.count_nonzero(our_edge) + np.count_nonzero(their_edge))
    return (2 * both + 1) / (total + 1), float(hd), float((sums[0] + sums[1]) / edges)


def _sum_on(
    edge: Mask, distances: Float[np.ndarray, "h w"], window: tuple[slice, slice], shape: tuple[int, ...]
) -> np.float32:
    """The 32-bit sum of the distances at the edge's pixels, in the order of the whole image."""
    image = np.zeros(shape, np.float32)
    image[window] = np.where(edge, distances, 0)
    return np.float32(image.sum())


def _edge(mask: Mask) -> Mask:
    """Set pixels with an unset one among their 8 neighbours; what lies outside the image counts as set."""
    pixels, square = np.ascontiguousarray(mask).view(np.uint8), np.ones((3, 3), np.uint8)
    eroded = cv2.erode(pixels, square, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return np.asarray(mask & (eroded == 0))


def angle_of_progression(labels: LabelMap) -> float:
    """Degrees, by the organisers' rules; 0 where an ellipse or the angle cannot be had."""
    symphysis, head = _fitted(labels == 1), _fitted(labels == 2)
    return 0.0 if symphysis is None or head is None else _angle(symphysis, head)


def _fitted(mask: Mask) -> Fitted | None:
    """OpenCV's ellipse: centre, (minor, major) full axes, and the angle of the minor one, 0 to 180 degrees."""
    contours, _ = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    outline = cv2.approxPolyDP(max(contours, key=len), 1, closed=True)
    if len(outline) < MIN_VERTICES:
        return None
    (x, y), (minor, major), turn = cv2.fitEllipse(outline)
    return (x, y), (minor, major), turn


def _angle(symphysis: Fitted, head: Fitted) -> float:
    """The angle at the symphysis' right end between its axis and the tangent whose slope takes the minus sign.

    In the frame of the head's ellipse a tangent from (x, y) has the slope
    (x y - sqrt(B^2 x^2 + A^2 y^2 - A^2 B^2)) / (x^2 - A^2).
    """
    (cx, cy), (_, length), turn = symphysis
    reach = length / 2 * np.array([math.cos((turn - 90) * RADIANS), math.sin((turn - 90) * RADIANS)])
    upper, lower = np.array([cx, cy]) - reach, np.array([cx, cy]) + reach
    centre, (minor, major), turn = head
    a, b, theta = major / 2, minor / 2, math.radians(turn - 90)
    rotation = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    x, y = rotation.T @ (lower - centre)
    x += x**2 == a**2
    under_root = b**2 * x**2 + a**2 * y**2 - a**2 * b**2
    slope = (x * y - math.sqrt(under_root)) / (x**2 - a**2) if under_root >= 0 else 0.0
    offset = y - slope * x
    touch_x = -slope * offset * a**2 / (b**2 + slope**2 * a**2)
    contact = rotation @ np.array([touch_x, slope * touch_x + offset]) + centre
    along, tangent = upper - lower, contact - lower
    product = float(np.linalg.norm(along) * np.linalg.norm(tangent))
    if not (math.isfinite(product) and product > 0):
        return 0.0
    return math.degrees(math.acos(min(1.0, max(-1.0, float(along @ tangent) / product))))
