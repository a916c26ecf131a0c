"""All that is measured of one predicted mask. Torch-free."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
from jaxtyping import UInt8

from fulora.biometry.angle import measure_angle
from fulora.biometry.ellipse import MeasurementError, measure_head
from fulora.data.labels import STRUCTURES, Structure
from fulora.data.manifest import Image
from fulora.data.results import Measurement, Quantity
from fulora.metrics.psfhs_challenge import ChallengeError, aggregate, score_pair
from fulora.metrics.segmentation import score_mask

Mask = UInt8[np.ndarray, "h w"]
OVERLAPS: dict[str, Quantity] = {"dice": "dice", "iou": "iou", "nsd": "nsd"}
DISTANCES: dict[str, Quantity] = {"hausdorff": "hd", "hd95": "hd95", "assd": "assd"}


def measured(
    row: Image, prediction: Mask, reference: Mask, inset_px: float = 0.0, tolerance: float = 2.0
) -> Iterator[Measurement]:
    """Every quantity of every structure that the plane of an image has.

    Args:
        inset_px: how far inside the mask's edge the reference circumference runs, pixels of the image.
        tolerance: of NSD, mm where the pixel size is known, else pixels.

    Raises:
        ValueError: an image of a plane without masks.
    """
    if row.plane not in STRUCTURES:
        raise ValueError(f"{row.image_id}: planes with masks are {', '.join(STRUCTURES)}, and it shows {row.plane}")
    for structure, labels in STRUCTURES[row.plane].items():
        about = _about(row, structure)
        yield from _overlaps(about, row, np.isin(prediction, labels), np.isin(reference, labels), tolerance)
    if row.plane == "brain" and row.hc_mm is not None and row.pixel_size_mm is not None:
        yield _head(_about(row, "head"), prediction == 1, row.hc_mm, row.pixel_size_mm, inset_px)
    if row.plane == "intrapartum":
        yield _angle(_about(row, "all"), prediction, reference)
        yield _challenge(_about(row, "all"), prediction, reference)


def _about(row: Image, structure: Structure) -> Measurement:
    return Measurement(
        image_id=row.image_id,
        patient_key=row.patient_key,
        site=row.site,
        structure=structure,
        quantity="dice",
        unit="1",
        value=None,
        reference=None,
    )


def _overlaps(
    about: Measurement, row: Image, prediction: np.ndarray, reference: np.ndarray, tolerance: float
) -> Iterator[Measurement]:
    size = row.pixel_size_mm or 1.0
    found = asdict(score_mask(prediction, reference, (size, size), tolerance))
    failure = "" if prediction.any() else "empty_mask"
    for name, quantity in {**OVERLAPS, **DISTANCES}.items():
        unit = "1" if name in OVERLAPS else "mm" if row.pixel_size_mm else "px"
        update = {"quantity": quantity, "unit": unit, "value": found[name], "failure": failure}
        yield about.model_copy(update=update)


def _head(about: Measurement, mask: np.ndarray, hc_mm: float, pixel_size_mm: float, inset_px: float) -> Measurement:
    update: dict[str, object] = {"quantity": "hc", "unit": "mm", "reference": hc_mm}
    try:
        update["value"] = measure_head(mask, pixel_size_mm, inset_px=inset_px).hc_mm
    except MeasurementError as error:
        update["failure"] = error.reason
    return about.model_copy(update=update)


def _angle(about: Measurement, prediction: Mask, reference: Mask) -> Measurement:
    """Both angles by the project's own rules; where the reference has none, the image has none."""
    update: dict[str, object] = {"quantity": "aop", "unit": "deg"}
    for name, mask in (("reference", reference), ("value", prediction)):
        try:
            update[name] = measure_angle(mask).aop_deg
        except MeasurementError as error:
            update["failure"] = f"{name}: {error.reason}" if name == "reference" else error.reason
    return about.model_copy(update=update)


def _challenge(about: Measurement, prediction: Mask, reference: Mask) -> Measurement:
    """The organisers' score of this image alone; the mean over images is their S, but for its rounding."""
    update: dict[str, object] = {"quantity": "psfhs_s"}
    try:
        update["value"] = aggregate([score_pair(prediction, reference)])["S"]
    except ChallengeError as error:
        update["failure"] = str(error)
    return about.model_copy(update=update)
