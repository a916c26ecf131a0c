"""Measure predicted masks: overlap and distances to the reference, head circumference in mm, angle of progression."""

from pathlib import Path

from pydantic import NonNegativeFloat

from fulora.config import Config
from fulora.data.manifest import ImageSet
from fulora.data.results import MaskSet, Measurements, write_table
from fulora.stage import stage


class MeasureConfig(Config):
    """How heads are measured.

    Attributes:
        inset_px: how far inside a mask's outer edge the reference circumference runs, pixels of the image: 1.39 for
            HC18 at its own size, whose masks hold the ring that was drawn along the skull.
        tolerance: of the surface Dice, mm where the pixel size is known, else pixels.
    """

    inset_px: NonNegativeFloat = 0.0
    tolerance: NonNegativeFloat = 2.0


@stage(version=3)
def measure(out: Path, config: MeasureConfig, images: ImageSet, masks: MaskSet) -> Measurements:
    """Dice, IoU, HD, HD95, ASSD and NSD of each structure, HC and AoP; a failure keeps its row and names its cause.

    Distances are in mm where the pixel size is known, else in pixels. The reference HC is the source's own, the
    reference AoP is measured on the reference mask.

    Raises:
        OverlapError: a network that drew the masks, or a parent of it, learned from a test image or patient.
        SameNumberError: it may have learned from a test patient under another name.
    """
    from fulora.data.overlap import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.provenance import provenance_of
    from fulora.progress import track
    from fulora.segmentation.measurements import measured

    rows, drawn_by = images.rows("test"), provenance_of(masks.path, f"masks {masks.path.name}")
    refuse_leaks([drawn_by], rows, told_apart=different_patients(images.path))
    found = [
        value
        for row in track(rows, "measured")
        for value in measured(row, masks.mask(row.image_id), images.mask(row), config.inset_px, config.tolerance)
    ]
    write_table(out, found)
    return Measurements(out, "")
