"""Measure predicted head masks: overlap with the reference, and head circumference in mm."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.data.manifest import Image, ImageSet
from fulora.data.results import MaskSet, Measurement, Measurements, write_table
from fulora.stage import stage

if TYPE_CHECKING:
    import numpy as np


@stage(version=2)
def measure(out: Path, images: ImageSet, masks: MaskSet) -> Measurements:
    """Dice, IoU, HD95 and HC of every test image; a failure keeps its row and names its cause.

    HD95 is in mm where the pixel size is known, else in pixels. The reference HC is the source's own, not one measured
    on its mask.
    """
    from fulora.progress import track

    rows = track(images.rows("test"), "measured")
    write_table(out, [found for row in rows for found in _measured(row, images, masks)])
    return Measurements(out, "")


def _measured(row: Image, images: ImageSet, masks: MaskSet) -> Iterator[Measurement]:
    from fulora.metrics.segmentation import score_mask

    predicted, reference = masks.mask(row.image_id) == 1, images.mask(row) == 1
    pixel_size_mm = row.pixel_size_mm or 1.0
    scores = score_mask(predicted, reference, (pixel_size_mm, pixel_size_mm))
    failure = "" if predicted.any() else "empty_mask"
    about = Measurement(
        image_id=row.image_id, patient_key=row.patient_key, site=row.site, quantity="dice", unit="1",
        value=scores.dice, reference=None, failure=failure,
    )  # fmt: skip
    yield about
    yield about.model_copy(update={"quantity": "iou", "value": scores.iou})
    yield about.model_copy(
        update={"quantity": "hd95", "unit": "mm" if row.pixel_size_mm else "px", "value": scores.hd95}
    )
    if row.hc_mm is not None and row.pixel_size_mm is not None:
        yield _head(predicted, row.hc_mm, row.pixel_size_mm, about)


def _head(predicted: "np.ndarray", hc_mm: float, pixel_size_mm: float, about: Measurement) -> Measurement:
    from fulora.biometry.ellipse import MeasurementError, measure_head

    update = {"quantity": "hc", "unit": "mm", "reference": hc_mm, "value": None, "failure": ""}
    try:
        update["value"] = measure_head(predicted, pixel_size_mm).hc_mm
    except MeasurementError as error:
        update["failure"] = error.reason
    return about.model_copy(update=update)
