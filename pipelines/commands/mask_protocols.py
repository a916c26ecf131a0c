"""Protocols of `fulora score segmentation`: which figures one predicted mask has, and which way each is better."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, UInt8

    from fulora.biometry.ellipse import Fit
    from fulora.intake.masks.value_mapping import MaskValues
    from fulora.intake.pixel_sizes import PixelSize

Protocol = Literal["psfhs", "hc18", "plain"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

ScoreOne = Callable[[str, Path, Path | None], "CaseScores"]
"""Scores of a case from its name, its reference, and its prediction, None where there is none."""


@dataclass(frozen=True)
class CaseScores:
    """One case: its figures, and why parts of it are missing or failed.

    `measured` and `measured_reference` are HC in mm or AoP in degrees, None where it failed or is not measured. `view`
    is the field of view where no fetal scan has such a one, `5.5 x 3.7 mm`, so that every mm is doubtful; `spacing` is
    what the files state of their pixel spacing where the list says another. `invented` are classes of the prediction
    that no reference of the call has.
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
class Figure:
    """What a figure is like: which way is better, and its unit; `length` is mm or px, "" of a share."""

    higher_is_better: bool
    unit: Literal["", "length", "deg"]

    def in_unit(self, length: str) -> str:
        """Its unit, where lengths are in `length`."""
        return length if self.unit == "length" else self.unit


OVERLAP, DISTANCE, ANGLE = Figure(True, ""), Figure(False, "length"), Figure(False, "deg")
OF_A_MASK = {"dice": OVERLAP, "iou": OVERLAP, "hausdorff": DISTANCE, "hd95": DISTANCE, "assd": DISTANCE, "nsd": OVERLAP}
OF_A_HEAD = {
    "dice": OVERLAP,
    "hausdorff": DISTANCE,
    "hd95": DISTANCE,
    "assd": DISTANCE,
    "ellipse-dice": OVERLAP,
    "ellipse-hausdorff": DISTANCE,
    "adf": DISTANCE,
}


@dataclass(frozen=True)
class Scorer:
    """A protocol: the figures it has, by name, and how it scores a case."""

    figures: Mapping[str, Figure]
    score: ScoreOne


def psfhs(mapping: "MaskValues") -> Scorer:
    """The challenge's own rules (`fulora.metrics.psfhs_challenge`); a missing file is an empty mask."""
    import numpy as np

    from fulora.intake.masks.validation import check_background
    from fulora.metrics.psfhs_challenge import NAMES, ChallengeError, score_pair

    kinds = {"dice": OVERLAP, "hd": DISTANCE, "asd": DISTANCE}
    figures = {"aop": ANGLE, **{f"{kind}_{part}": one for kind, one in kinds.items() for part in NAMES}}

    def score(case: str, reference: Path, prediction: Path | None) -> CaseScores:
        truth = mapping.read(reference)
        check_background(truth, reference)
        ours = np.zeros_like(truth) if prediction is None else mapping.read(prediction)
        try:
            found = asdict(score_pair(ours, truth))
        except ChallengeError as error:
            raise ChallengeError(f"{prediction or reference}: {error}") from error
        failures = [f"class_{number}_missing" for number in (1, 2) if not (ours == number).any()]
        failures += [
            name for name, side in (("aop_failed", "pred"), ("reference_aop_failed", "gt")) if not found[f"aop_{side}"]
        ]
        return CaseScores(
            case,
            {name: found[name] for name in figures},
            _why(prediction, failures),
            measured=found["aop_pred"] or None,
            measured_reference=found["aop_gt"] or None,
        )

    return Scorer(figures, score)


def plain(mapping: "MaskValues", classes: Sequence[int], pixel_sizes: "Mapping[str, PixelSize] | None") -> Scorer:
    """Dice, IoU, HD, HD95, ASSD and NSD of each of `classes`, those that any reference holds.

    A class that neither mask of a case holds is right: overlaps 1, distances 0. Held by one of both it is at the worst.
    """
    import numpy as np

    from fulora.intake.masks.validation import check_background
    from fulora.metrics.segmentation import MaskScores, score_mask

    if not classes:
        raise ValueError("no reference mask holds anything; there is nothing to score against")

    of_class = {number: f" {number}" if len(classes) > 1 else "" for number in classes}

    def score(case: str, reference: Path, prediction: Path | None) -> CaseScores:
        truth = mapping.read(reference)
        check_background(truth, reference)
        size, view, spacing = (
            (1.0, "", "") if pixel_sizes is None else _size(case, (reference, prediction), pixel_sizes, truth.shape)
        )
        ours = np.zeros_like(truth) if prediction is None else mapping.read(prediction)
        _same_shape(ours, truth, prediction)
        values: dict[str, float] = {}
        failures: list[str] = []
        for number in classes:
            pair = ours == number, truth == number
            if not (pair[0].any() or pair[1].any()):
                found = MaskScores(1.0, 1.0, 0.0, 0.0, 0.0, 1.0, missing=False)
            else:
                found = score_mask(*pair, (size, size))
            values |= {name + of_class[number]: getattr(found, name) for name in OF_A_MASK}
            failures += [f"class_{number}_{'missing' if pair[1].any() else 'invented'}"] if found.missing else []
        invented = tuple(sorted({*np.unique(ours).tolist()} - {0, *classes}))
        return CaseScores(case, values, _why(prediction, failures), view=view, spacing=spacing, invented=invented)

    return Scorer({name + end: one for end in of_class.values() for name, one in OF_A_MASK.items()}, score)


def hc18(mapping: "MaskValues", pixel_sizes: "Mapping[str, PixelSize]", label: int | None) -> Scorer:
    """Head circumference and overlap of heads, mm: of the masks as they are, and of the ellipses fitted to both.

    The reference circumference is measured on the reference mask as the prediction's is, so that a ring's width, which
    both hold, cancels. Where no ellipse can be fitted the error is the whole reference circumference, the ellipses'
    Dice 0 and their distance the image diagonal.
    """
    import numpy as np

    from fulora.biometry.ellipse import MeasurementError, ellipse_mask, fit_mask, perimeter
    from fulora.intake.masks.files import read_region
    from fulora.intake.masks.validation import check_background
    from fulora.metrics.segmentation import dice, hausdorff, score_mask

    def drawn(fit: "Fit | None", shape: tuple[int, ...]) -> "Bool[np.ndarray, 'h w']":
        return np.zeros(shape, dtype=bool) if fit is None else ellipse_mask(fit.ellipse, shape)

    def score(case: str, reference: Path, prediction: Path | None) -> CaseScores:
        truth = read_region(reference, mapping, label)
        check_background(truth, reference)
        size, view, spacing = _size(case, (reference, prediction), pixel_sizes, truth.shape)
        ours = np.zeros_like(truth) if prediction is None else read_region(prediction, mapping, label)
        _same_shape(ours, truth, prediction)
        try:
            true_fit = fit_mask(truth)
        except MeasurementError as error:
            raise ValueError(
                f"{reference}: a reference that cannot be measured ({error}); mend or remove it"
            ) from error
        failures: list[str] = []
        fit, our_hc = None, 0.0
        true_hc = perimeter(true_fit.ellipse.a, true_fit.ellipse.b) * size
        try:
            fit = fit_mask(ours)
            our_hc = perimeter(fit.ellipse.a, fit.ellipse.b) * size
        except MeasurementError as error:
            failures.append(error.reason)
        scores, ellipses = (
            score_mask(ours, truth, (size, size)),
            (drawn(fit, truth.shape), drawn(true_fit, truth.shape)),
        )
        values = {name: getattr(scores, name) for name in ("dice", "hausdorff", "hd95", "assd")}
        values |= {"ellipse-dice": dice(*ellipses), "ellipse-hausdorff": hausdorff(*ellipses, (size, size))}
        values["adf"] = abs(our_hc - true_hc)
        return CaseScores(case, values, _why(prediction, failures), our_hc or None, true_hc, view, spacing)

    return Scorer(OF_A_HEAD, score)


def _why(prediction: Path | None, failures: list[str]) -> tuple[str, ...]:
    return ("no_file",) if prediction is None else tuple(failures)


def _size(
    case: str, files: Sequence[Path | None], pixel_sizes: "Mapping[str, PixelSize]", shape: tuple[int, ...]
) -> tuple[float, str, str]:
    """mm a pixel, the field of view where no fetal scan has such a one, and other spacings that files state."""
    from fulora.biometry.quality import field_of_view_mm
    from fulora.intake.masks.spacing import spacing_conflict

    if case not in pixel_sizes:
        raise ValueError(f"{case} is not in the list of pixel sizes; distances in mm need it")
    size, here = pixel_sizes[case], shape[::-1]
    if size.original not in (None, here):
        raise ValueError(
            f"{case}: its masks have (width, height) {here}, and the list of pixel sizes says {size.original}; resize "
            "them to the original's size before they are scored"
        )
    view = field_of_view_mm(float(here[0]), float(here[1]), size.mm)
    spacings = [f"{path}: {said}" for path in files if path and (said := spacing_conflict(path, (size.mm, size.mm)))]
    return size.mm, view, "; ".join(spacings)


def _same_shape(ours: "UInt8[np.ndarray, 'h w']", truth: "UInt8[np.ndarray, 'h w']", path: Path | None) -> None:
    if ours.shape != truth.shape:
        raise ValueError(
            f"{path}: (height, width) {ours.shape}, but its reference has {truth.shape}; "
            "resize the prediction to the reference's size before it is scored"
        )
