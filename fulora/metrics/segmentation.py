"""Scores of a predicted mask against a reference mask, one image at a time.

One definition for the whole project, that of MONAI: the surface of a mask is the mask XOR its 4-connected erosion
(a pixel on the image border is surface); distances run from surface pixels to the nearest surface pixel of the other
mask; HD95 is the larger of the two directed 95th percentiles; ASSD is the mean over both lists joined; NSD is the share
of both lists that is no farther than a tolerance (Nikolov et al. 2021).

A prediction or reference without any pixel (or both) is a miss: Dice, IoU and NSD are 0 and every distance is the image
diagonal, so that a failure never drops out of a mean. `MaskScores.missing` says so; `summarise` counts them.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from fulora.metrics.distances import distance_to, window_of

TOLERANCE = 2.0
"""Of NSD, in the unit of the spacing."""

Mask = Bool[np.ndarray, "h w"]
Distances = Float[np.ndarray, " _"]


@dataclass(frozen=True)
class MaskScores:
    """Dice, IoU and NSD (0..1), distances (mm if the spacing was in mm, else pixels), and whether a mask was empty."""

    dice: float
    iou: float
    hausdorff: float
    hd95: float
    assd: float
    nsd: float
    missing: bool


@dataclass(frozen=True)
class Summary:
    """A score over images: mean, median, the 5th percentile of the worst side, and how many of the n were missing.

    `worst_5` is what 5 % of the images do not reach: the 5th percentile of an overlap, the 95th of a distance.
    """

    mean: float
    median: float
    worst_5: float
    missing: int
    n: int


def summarise(values: Float[np.ndarray, " n"], missing: Bool[np.ndarray, " n"], *, higher_is_better: bool) -> Summary:
    """One score over images, missing masks at the worst value included.

    Raises:
        ValueError: no images, or a value that is not finite: a miss has its worst value, it does not drop out.
    """
    if not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"{values.size} images, of which {int(np.isfinite(values).sum())} have a finite score; all must"
        )
    return Summary(
        mean=float(values.mean()),
        median=float(np.median(values)),
        worst_5=float(np.percentile(values, 5 if higher_is_better else 95)),
        missing=int(missing.sum()),
        n=values.size,
    )


def score_mask(
    prediction: Mask, reference: Mask, spacing_mm: tuple[float, float] = (1.0, 1.0), tolerance: float = TOLERANCE
) -> MaskScores:
    """Compute all scores of one image, with the distances computed once.

    NSD counts surface pixels alike, as MONAI does; Nikolov et al. weigh them by the length of contour of each.

    Args:
        spacing_mm: (row, column) pixel size.
        tolerance: of NSD, in the spacing's unit.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance is {tolerance}; it must be 0 or more, in the unit of the spacing")
    forward, backward = surface_distances(prediction, reference, spacing_mm)
    union, missing = np.count_nonzero(prediction | reference), _is_missing(prediction, reference)
    both = np.concatenate([forward, backward])
    return MaskScores(
        dice=dice(prediction, reference),
        iou=np.count_nonzero(prediction & reference) / union if union else 0.0,
        hausdorff=_hausdorff(forward, backward),
        hd95=float(max(np.percentile(forward, 95), np.percentile(backward, 95))),
        assd=float(both.mean()),
        nsd=0.0 if missing else float((both <= tolerance).mean()),
        missing=missing,
    )


def dice(prediction: Mask, reference: Mask) -> float:
    """2 |A and B| / (|A| + |B|), 0..1 (Dice 1945), without smoothing; 0 if a mask is empty."""
    _check_shapes(prediction, reference)
    total = int(prediction.sum()) + int(reference.sum())
    return 2 * int((prediction & reference).sum()) / total if total else 0.0


def hausdorff(prediction: Mask, reference: Mask, spacing_mm: tuple[float, float] = (1.0, 1.0)) -> float:
    """Hausdorff distance of the two surfaces (Huttenlocher et al. 1993)."""
    return _hausdorff(*surface_distances(prediction, reference, spacing_mm))


def surface_distances(
    prediction: Mask, reference: Mask, spacing_mm: tuple[float, float] = (1.0, 1.0)
) -> tuple[Distances, Distances]:
    """Distances of the prediction's surface pixels to the reference's surface, and the other way round.

    `spacing_mm` is (row, column) pixel size. If a mask is empty each list holds one value, the image diagonal.
    """
    _check_shapes(prediction, reference)
    if min(spacing_mm) <= 0 or not all(map(math.isfinite, spacing_mm)):
        raise ValueError(f"spacing_mm is {spacing_mm}; both values must be positive: (row, column) pixel size in mm")
    if _is_missing(prediction, reference):
        diagonal = np.array([math.hypot(prediction.shape[0] * spacing_mm[0], prediction.shape[1] * spacing_mm[1])])
        return diagonal, diagonal
    window = window_of(prediction | reference)
    surface_a, surface_b = _surface(prediction[window]), _surface(reference[window])
    to_a, to_b = distance_to(surface_a, spacing_mm), distance_to(surface_b, spacing_mm)
    return to_b[surface_a], to_a[surface_b]


def _surface(mask: Mask) -> Mask:
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    inside = cv2.erode(pixels, cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(mask & (inside == 0))


def _hausdorff(forward: Distances, backward: Distances) -> float:
    return float(max(forward.max(), backward.max()))


def _is_missing(prediction: Mask, reference: Mask) -> bool:
    return not (prediction.any() and reference.any())


def _check_shapes(prediction: Mask, reference: Mask) -> None:
    if prediction.shape != reference.shape:
        raise ValueError(
            f"the prediction has shape {prediction.shape} but the reference {reference.shape}: "
            "resize the prediction to the reference's grid before scoring"
        )
    if prediction.dtype != np.bool_ or reference.dtype != np.bool_:
        raise ValueError(
            f"masks have dtypes {prediction.dtype} and {reference.dtype}; give boolean masks, for example `labels == 2`"
        )
