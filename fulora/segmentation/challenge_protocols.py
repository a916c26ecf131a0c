"""Protocols that score a predicted mask against its reference: PSFHS challenge, HC18 challenge, plain. Torch-free."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8

from fulora.biometry.ellipse import Fit, MeasurementError, ellipse_mask, fit_mask, perimeter
from fulora.metrics.psfhs_challenge import NAMES, score_pair
from fulora.metrics.segmentation import MaskScores, dice, hausdorff, score_mask
from fulora.segmentation.protocols import Protocol

Mask = UInt8[np.ndarray, "h w"]
Region = Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class CaseScores:
    """The scores of one case, and why parts of it are missing or failed.

    Attributes:
        measured, measured_reference: HC in mm or AoP in degrees; None if it failed or is not measured.
        view: the field of view if it is implausible for a fetal scan, such as `5.5 x 3.7 mm`: every mm is doubtful.
        spacing: the pixel spacing stated by the files, if it differs from the list of pixel sizes.
        invented: classes of the prediction that no reference contains.
    """

    case: str
    values: dict[str, float]
    failures: tuple[str, ...] = ()
    measured: float | None = None
    measured_reference: float | None = None
    view: str = ""
    spacing: str = ""
    invented: tuple[int, ...] = ()


@dataclass(frozen=True)
class ScoreKind:
    """Which direction of a score is better, and its unit; `length` stands for mm or px, "" for a share."""

    higher_is_better: bool
    unit: Literal["", "length", "deg"]

    def in_unit(self, length: str) -> str:
        """Return the unit, with lengths in `length`."""
        return length if self.unit == "length" else self.unit


OVERLAP = ScoreKind(True, "")
DISTANCE = ScoreKind(False, "length")
ANGLE = ScoreKind(False, "deg")
DISTANCES = {"hausdorff": DISTANCE, "hd95": DISTANCE, "assd": DISTANCE}
PLAIN_SCORES = {"dice": OVERLAP, "iou": OVERLAP, **DISTANCES, "nsd": OVERLAP}
ELLIPSE_SCORES = {"ellipse-dice": OVERLAP, "ellipse-hausdorff": DISTANCE, "adf": DISTANCE}
HC18_SCORES = {"dice": OVERLAP, **DISTANCES, **ELLIPSE_SCORES}


def score_kinds(protocol: Protocol, classes: Sequence[int]) -> Mapping[str, ScoreKind]:
    """Return the scores of a protocol by name.

    Args:
        classes: the classes that `plain` scores; several have scores of their own each, such as `dice 2`.

    Raises:
        ValueError: if `plain` has no class.
    """
    if protocol == "plain" and not classes:
        raise ValueError("no reference mask holds anything; there is nothing to score against")
    if protocol == "hc18":
        return HC18_SCORES
    if protocol == "plain":
        return {name + end: kind for end in _suffixes(classes).values() for name, kind in PLAIN_SCORES.items()}
    kinds = {"dice": OVERLAP, "hd": DISTANCE, "asd": DISTANCE}
    return {"aop": ANGLE, **{f"{name}_{part}": kind for name, kind in kinds.items() for part in NAMES}}


def score_psfhs(case: str, prediction: Mask | None, reference: Mask) -> CaseScores:
    """Score a mask by the rules of the PSFHS challenge (`fulora.metrics.psfhs_challenge`).

    Args:
        prediction: None if the file is missing, which counts as an empty mask.

    Raises:
        ChallengeError: masks that the challenge cannot score.
    """
    labels = np.zeros_like(reference) if prediction is None else prediction
    scores = asdict(score_pair(labels, reference))
    failures = [f"class_{number}_missing" for number in (1, 2) if not (labels == number).any()]
    failures += [] if scores["aop_pred"] else ["aop_failed"]
    failures += [] if scores["aop_gt"] else ["reference_aop_failed"]
    return CaseScores(
        case,
        {name: scores[name] for name in score_kinds("psfhs", ())},
        _failures(prediction, failures),
        measured=scores["aop_pred"] or None,
        measured_reference=scores["aop_gt"] or None,
    )


def score_plain(
    case: str, prediction: Mask | None, reference: Mask, classes: Sequence[int], pixel_size: float = 1.0
) -> CaseScores:
    """Compute Dice, IoU, HD, HD95, ASSD and NSD of each class.

    A class that is in neither mask is correct: overlaps 1, distances 0. A class in only one has the worst scores.

    Args:
        prediction: None if the file is missing, which counts as an empty mask.
        classes: those that any reference contains.
        pixel_size: mm, or 1 for distances in pixels.
    """
    labels = np.zeros_like(reference) if prediction is None else prediction
    values: dict[str, float] = {}
    failures: list[str] = []
    for number, suffix in _suffixes(classes).items():
        predicted, true = labels == number, reference == number
        if predicted.any() or true.any():
            scores = score_mask(predicted, true, (pixel_size, pixel_size))
        else:
            scores = MaskScores(1.0, 1.0, 0.0, 0.0, 0.0, 1.0, missing=False)
        values |= {name + suffix: getattr(scores, name) for name in PLAIN_SCORES}
        if scores.missing:
            failures.append(f"class_{number}_{'missing' if true.any() else 'invented'}")
    invented = tuple(sorted({*np.unique(labels).tolist()} - {0, *classes}))
    return CaseScores(case, values, _failures(prediction, failures), invented=invented)


def score_hc18(case: str, prediction: Region | None, reference: Region, pixel_size_mm: float) -> CaseScores:
    """Score the head circumference and the overlap of heads, mm: of the masks, and of the ellipses fitted to both.

    The reference circumference is measured on the reference mask in the same way as the prediction's, so that the width
    of a ring, which both contain, cancels. If no ellipse can be fitted to the prediction, the error is the whole
    reference circumference, the ellipses' Dice 0 and their distance the image diagonal.

    Args:
        prediction: None if the file is missing, which counts as an empty mask.

    Raises:
        MeasurementError: no ellipse can be fitted to the reference.
    """
    head = np.zeros_like(reference) if prediction is None else prediction
    true_fit, fit = fit_mask(reference), None
    true_hc, hc = _circumference(true_fit, pixel_size_mm), 0.0
    failures: list[str] = []
    try:
        fit = fit_mask(head)
        hc = _circumference(fit, pixel_size_mm)
    except MeasurementError as error:
        failures.append(error.reason)
    spacing = (pixel_size_mm, pixel_size_mm)
    scores = score_mask(head, reference, spacing)
    ellipses = (_ellipse(fit, reference.shape), _ellipse(true_fit, reference.shape))
    values = {name: getattr(scores, name) for name in ("dice", "hausdorff", "hd95", "assd")}
    values |= {"ellipse-dice": dice(*ellipses), "ellipse-hausdorff": hausdorff(*ellipses, spacing)}
    values["adf"] = abs(hc - true_hc)
    return CaseScores(case, values, _failures(prediction, failures), hc or None, true_hc)


def _suffixes(classes: Sequence[int]) -> dict[int, str]:
    return {number: f" {number}" if len(classes) > 1 else "" for number in classes}


def _failures(prediction: Mask | Region | None, failures: list[str]) -> tuple[str, ...]:
    return ("no_file",) if prediction is None else tuple(failures)


def _circumference(fit: Fit, pixel_size_mm: float) -> float:
    return perimeter(fit.ellipse.a, fit.ellipse.b) * pixel_size_mm


def _ellipse(fit: Fit | None, shape: tuple[int, ...]) -> Region:
    return np.zeros(shape, dtype=bool) if fit is None else ellipse_mask(fit.ellipse, shape)
