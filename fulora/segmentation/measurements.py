"""Measurements of a predicted mask, as the label set defines for its structures. Torch-free."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np
from jaxtyping import Bool, UInt8

from fulora.biometry.angle import measure_angle
from fulora.biometry.ellipse import MeasurementError, measure_head
from fulora.biometry.side import Side
from fulora.data.image import Image
from fulora.data.label_class import LabelClass, Structure
from fulora.data.results import Measurement, Quantity
from fulora.data.structures import StructureError, check_numbers
from fulora.metrics.psfhs_challenge import ChallengeError, aggregate, score_pair
from fulora.metrics.segmentation import score_mask

Mask = UInt8[np.ndarray, "h w"]
Region = Bool[np.ndarray, "h w"]
OVERLAPS: dict[str, Quantity] = {"dice": "dice", "iou": "iou", "nsd": "nsd"}
DISTANCES: dict[str, Quantity] = {"hausdorff": "hd", "hd95": "hd95", "assd": "assd"}
SIZES: tuple[Quantity, ...] = ("hc", "bpd", "ofd")
ALL = "all"


def measure_mask(
    row: Image,
    shows: LabelClass,
    prediction: Mask,
    reference: Mask,
    inset_px: float = 0.0,
    tolerance: float = 2.0,
    inferior: Side = "right",
) -> Iterator[Measurement]:
    """Measure every quantity of every structure of an image's class.

    Overlaps and distances of each structure, and of their union if there are several; of an `ellipse` its circumference
    (HC), short (BPD) and long (OFD) axis; of the two with an `angle` the angle of progression; the score of the PSFHS
    challenge if the masks have its classes.

    Args:
        shows: the class of the image.
        inset_px: distance of the measured outline inside the mask's edge, pixels of the image.
        tolerance: of NSD, mm if the pixel size is known, else pixels.
        inferior: the side of the image with the inferior end of the symphysis.

    Raises:
        StructureError: if the class has no structures, or the reference has a number that the class does not name.
    """
    if not shows.structures:
        raise StructureError(
            f"{row.image_id}: its class {shows.name} has no structures; add those of its masks in the label set"
        )
    check_numbers(reference, shows, row.image_id)
    for name, numbers in shows.parts().items():
        yield from _overlaps(row, name, np.isin(prediction, numbers), np.isin(reference, numbers), tolerance)
    ellipses = {name: one for name, one in shows.structures.items() if one.measured == "ellipse"}
    listed_mm = row.hc_mm if len(ellipses) == 1 else None
    for name, structure in ellipses.items():
        drawn, true = prediction == structure.number, reference == structure.number
        yield from _sizes(row, name, structure, drawn, true, listed_mm, inset_px)
    angle = sorted(one.number for one in shows.structures.values() if one.measured == "angle")
    if angle:
        yield _angle(row, (angle[0], angle[1]), prediction, reference, inferior)
    if angle == [1, 2] and len(shows.structures) == 2:
        yield _challenge(row, prediction, reference)


def _measurement(row: Image, structure: str, found: Mapping[str, object]) -> Measurement:
    about = {"image_id": row.image_id, "patient_key": row.patient_key, "site": row.site, "structure": structure}
    return Measurement.model_validate({**about, "value": None, "reference": None, **found})


def _overlaps(
    row: Image, structure: str, prediction: Region, reference: Region, tolerance: float
) -> Iterator[Measurement]:
    size = row.pixel_size_mm or 1.0
    found = asdict(score_mask(prediction, reference, (size, size), tolerance))
    failure = "" if prediction.any() else "empty_mask"
    for name, quantity in {**OVERLAPS, **DISTANCES}.items():
        unit = "1" if name in OVERLAPS else "mm" if row.pixel_size_mm else "px"
        yield _measurement(
            row, structure, {"quantity": quantity, "unit": unit, "value": found[name], "failure": failure}
        )


def _sizes(
    row: Image,
    name: str,
    structure: Structure,
    prediction: Region,
    reference: Region,
    listed_mm: float | None,
    inset_px: float,
) -> Iterator[Measurement]:
    """Circumference and axes; the reference circumference is the listed one if there is one, else the mask's."""
    size = 1.0 if structure.unit == "px" else row.pixel_size_mm
    found, failure = _ellipse(prediction, size, inset_px)
    true, untrue = _ellipse(reference, size, inset_px)
    for quantity in SIZES:
        listed = listed_mm if quantity == "hc" and structure.unit == "mm" else None
        known = true.get(quantity) if listed is None else listed
        yield _measurement(
            row,
            name,
            {
                "quantity": quantity,
                "unit": structure.unit,
                "value": found.get(quantity),
                "reference": known,
                "reference_from": "" if known is None else "mask" if listed is None else "list",
                "failure": failure or ("" if known is not None else f"reference: {untrue}"),
            },
        )


def _ellipse(mask: Region, size: float | None, inset_px: float) -> tuple[dict[Quantity, float], str]:
    """Circumference and axes in units of the pixel size, or the reason why there are none."""
    if size is None:
        return {}, "no_pixel_size"
    try:
        head = measure_head(mask, size, inset_px=inset_px)
    except MeasurementError as error:
        return {}, error.reason
    return {"hc": head.hc_mm, "bpd": head.bpd_mm, "ofd": head.ofd_mm}, ""


def _angle(row: Image, numbers: tuple[int, int], prediction: Mask, reference: Mask, inferior: Side) -> Measurement:
    """Both angles by `measure_angle`; a failure of the reference is a failure of the image."""
    axis, tangent = numbers
    found: dict[str, object] = {"quantity": "aop", "unit": "deg"}
    for name, mask in (("reference", reference), ("value", prediction)):
        try:
            found[name] = measure_angle(mask, symphysis=axis, head=tangent, inferior=inferior).aop_deg
        except MeasurementError as error:
            found["failure"] = f"{name}: {error.reason}" if name == "reference" else error.reason
    return _measurement(row, ALL, found | {"reference_from": "mask" if "reference" in found else ""})


def _challenge(row: Image, prediction: Mask, reference: Mask) -> Measurement:
    """The organisers' score of this image; up to rounding, their S is the mean over images."""
    found: dict[str, object] = {"quantity": "psfhs_s", "unit": "1"}
    try:
        found["value"] = aggregate([score_pair(prediction, reference)])["S"]
    except ChallengeError as error:
        found["failure"] = str(error)
    return _measurement(row, ALL, found)
