"""Measure predicted masks: overlap and distances to the reference, and ellipses and angles of what they hold."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat

from fulora.config import Config
from fulora.data.image_set import ImageSet
from fulora.data.results import MaskSet, Measurements, write_table
from fulora.stage import stage


class MeasureConfig(Config):
    """How masks are measured.

    Attributes:
        inset_px: how far inside a mask's outer edge the reference circumference runs, pixels of the image: 1.39 for
            HC18 at its own size, whose masks hold the ring that was drawn along the skull.
        tolerance: of the surface Dice, mm where the pixel size is known, else pixels.
        inferior: the side of the image on which the inferior end of the symphysis lies, for the angle of progression.
    """

    inset_px: NonNegativeFloat = 0.0
    tolerance: NonNegativeFloat = 2.0
    inferior: Literal["right", "left"] = "right"


@stage(version=4)
def measure(out: Path, config: MeasureConfig, images: ImageSet, masks: MaskSet) -> Measurements:
    """Dice, IoU, HD, HD95, ASSD and NSD of each structure, and what its label set says is measured of it.

    Distances are in mm where the pixel size is known, else in pixels. The reference circumference is the source's own,
    where it has one; every other reference is measured on the reference mask. A failure keeps its row and names its
    cause.

    Raises:
        OverlapError: a network that drew the masks, or a parent of it, learned from a test image or patient.
        SameNumberError: it may have learned from a test patient under another name.
    """
    from fulora.data.label_set import read_label_set
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.provenance import provenance_of
    from fulora.data.structures import refuse_other_structures, units_of
    from fulora.progress import note, track
    from fulora.segmentation.measurements import measure_mask

    rows, labels = images.rows("test"), images.label_set()
    drawn_by = provenance_of(masks.path, f"masks {masks.path.name}")
    refuse_leaks([drawn_by], rows, distinct_patients=different_patients(images.path))
    refuse_other_structures(
        labels,
        read_label_set(masks.path),
        name=f"the images {images.path.name}",
        other_name=f"the masks {masks.path.name}",
    )
    sizeless = [row for row in rows if row.pixel_size_mm is None and "mm" in units_of(labels.of(row.plane))]
    if sizeless:
        note(
            f"{len(sizeless)} of {len(rows)} test images have no pixel size, such as {sizeless[0].image_id}: nothing "
            "is measured in mm there; give pixel sizes, or say unit: px"
        )
    found = [
        value
        for row in track(rows, "measured")
        for value in measure_mask(
            row,
            labels.of(row.plane),
            masks.mask(row.image_id),
            images.mask(row),
            config.inset_px,
            config.tolerance,
            config.inferior,
        )
    ]
    write_table(out, found)
    return Measurements(out, "")
