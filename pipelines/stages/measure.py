"""Measure predicted masks: overlap and distances to the reference, ellipses and angles."""

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
        inset_px: distance of the reference circumference inside a mask's outer edge, pixels of the image: 1.39 for HC18
            at native size, whose masks include the ring that annotators drew along the skull.
        tolerance: of the surface Dice, mm where the pixel size is known, else pixels.
        inferior: the side of the image on which the inferior end of the symphysis lies, for the angle of progression.
    """

    inset_px: NonNegativeFloat = 0.0
    tolerance: NonNegativeFloat = 2.0
    inferior: Literal["right", "left"] = "right"


@stage(version=4)
def measure(out: Path, config: MeasureConfig, images: ImageSet, masks: MaskSet) -> Measurements:
    """Write Dice, IoU, HD, HD95, ASSD and NSD of each structure, and the biometry that the label set defines.

    Distances are in mm if the pixel size is known, else in pixels. The reference circumference is that of the source if
    it has one; every other reference is measured on the reference mask. A failure keeps its row and states its cause.

    Raises:
        OverlapError, SameNumberError: if a network that predicted the masks, or a parent of it, learned from a
            test image or patient.
    """
    from fulora.data.label_set import read_label_set
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.provenance import provenance_of
    from fulora.data.structures import refuse_other_structures, units_of
    from fulora.progress import note, track
    from fulora.segmentation.measurements import measure_mask

    rows, labels = images.rows("test"), images.label_set()
    networks = provenance_of(masks.path, f"masks {masks.path.name}")
    refuse_leaks([networks], rows, distinct_patients=different_patients(images.path))
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
            "is measured in mm there; give pixel sizes, or set unit: px"
        )
    measurements = [
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
    write_table(out, measurements)
    return Measurements(out, "")
