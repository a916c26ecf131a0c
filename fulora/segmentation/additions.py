"""Image sets with added images: pseudo-labelled by an ensemble, or generated with a mask."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import ImageSet, Picture
from fulora.data.pictures.image_and_mask import split_pair
from fulora.data.provenance import Provenance
from fulora.environment import derive_seed
from fulora.metrics.segmentation import dice
from fulora.progress import track
from fulora.segmentation.addition_config import AdditionConfig
from fulora.segmentation.mask_quality import find_mask_fault, fit_ellipse_mask
from fulora.segmentation.model import Unet
from fulora.segmentation.predict import largest_filled
from fulora.segmentation.pseudo_label import choose_confidence, fit_temperature, predict_ensemble
from fulora.segmentation.pseudo_labels_file import AdditionRecord

MaskedPictures = Iterator[tuple[Picture, float]]
"""Pictures with a mask, and the confidence in the mask, 0 to 1."""


def add_pseudo_labelled(
    out: Path,
    config: AdditionConfig,
    labelled: ImageSet,
    candidates: ImageSet,
    teachers: Sequence[Unet],
    provenance: Provenance,
) -> None:
    """Write the labelled set, with the candidates' training images whose predicted masks are accepted.

    Args:
        provenance: of the candidates' generator and the teachers.

    Raises:
        ImageSetError: if there are no candidates, or no labelled validation images for calibration.
    """
    labelled_ids = {row.image_id for row in labelled.rows("train")}
    offered = _in_order([row for row in candidates.rows("train") if row.image_id not in labelled_ids])
    record = _record(config, offered)
    held_out = labelled.rows("validation")
    if not held_out:
        raise ImageSetError(f"{labelled.path}: no labelled validation images to calibrate the confidence on")
    predicted = list(predict_ensemble(teachers, map(labelled.pixels, held_out)))
    truth = [labelled.mask(row) for row in held_out]
    temperature = fit_temperature([one.share for one in predicted], truth)
    confidences = [one.confidence(temperature) for one in predicted]
    overlaps = [dice(one.mask > 0, mask > 0) for one, mask in zip(predicted, truth, strict=True)]
    record.least_confidence, reached = choose_confidence(confidences, overlaps, config.target_dice)
    accepted = np.array(confidences) >= record.least_confidence
    record.calibration = {
        "temperature": temperature,
        "target_dice": config.target_dice,
        "target_reached": float(reached),
        "validation_images": float(len(held_out)),
        "validation_accepted": float(accepted.sum()),
        "validation_dice_accepted": float(np.array(overlaps)[accepted].mean()) if accepted.any() else 0.0,
        "validation_dice_all": float(np.mean(overlaps)),
    }

    def masked() -> MaskedPictures:
        for row, one in zip(offered, predict_ensemble(teachers, map(candidates.pixels, offered)), strict=True):
            yield Picture(row, candidates.pixels(row), one.mask), one.confidence(temperature)

    _write(out, config, labelled, provenance, record, masked)


def add_pairs(out: Path, config: AdditionConfig, labelled: ImageSet, pairs: ImageSet, provenance: Provenance) -> None:
    """Write the labelled set with generated pairs of image and mask.

    Args:
        provenance: of the pairs' generator.

    Raises:
        ImageSetError: if there are no pairs, or a picture is not in colour.
    """
    offered = _in_order(pairs.rows("train"))
    record = _record(config, offered)

    def masked() -> MaskedPictures:
        for row in offered:
            stored = pairs.stored(row)
            if stored.ndim != 3:
                raise ImageSetError(f"{row.image_id}: is gray, not RGB: generate pairs with colour=rgb")
            pixels, mask = split_pair(stored)
            yield Picture(row, pixels, largest_filled(mask) if config.filtered else mask), 1.0

    _write(out, config, labelled, provenance, record, masked)


def add_drawn_on_masks(
    out: Path,
    config: AdditionConfig,
    labelled: ImageSet,
    drawn: ImageSet,
    teachers: Sequence[Unet],
    provenance: Provenance,
) -> None:
    """Write the labelled set with pictures generated from masks, if the teachers predict the same mask.

    Args:
        drawn: the generated pictures with their masks.
        provenance: of the pictures' generator and the teachers.

    Raises:
        ImageSetError: if there are no such pictures.
    """
    offered = _in_order(drawn.rows("train"))
    record = _record(config, offered)
    record.least_confidence = config.agreement

    def masked() -> MaskedPictures:
        for row, one in zip(offered, predict_ensemble(teachers, map(drawn.pixels, offered)), strict=True):
            mask = drawn.mask(row)
            yield Picture(row, drawn.pixels(row), mask), dice(one.mask > 0, mask > 0)

    _write(out, config, labelled, provenance, record, masked)


def _in_order(rows: Sequence[Image]) -> list[Image]:
    return sorted(rows, key=lambda row: derive_seed("additions", row.image_id))


def _record(config: AdditionConfig, offered: Sequence[Image]) -> AdditionRecord:
    if not offered:
        raise ImageSetError("there are no images to add: all candidates are labelled already, or there are none")
    return AdditionRecord(config.images, len(offered))


def _write(
    out: Path,
    config: AdditionConfig,
    labelled: ImageSet,
    provenance: Provenance,
    record: AdditionRecord,
    offered: Callable[[], MaskedPictures],
) -> None:
    def pictures() -> Iterator[Picture]:
        yield from labelled.pictures()
        for picture, confidence in track(offered(), "looked at", total=record.offered):
            if len(record.accepted) == record.wanted:
                return
            assert picture.mask is not None
            record.looked_at += 1
            fault = find_mask_fault(picture.mask, config.gates) if config.filtered else None
            if config.filtered and fault is None and confidence < record.least_confidence:
                fault = "disagreement"
            if fault is not None:
                record.rejected[fault] += 1
                continue
            record.accepted.append(picture.row.image_id)
            mask = fit_ellipse_mask(picture.mask) if config.refine else picture.mask
            yield Picture(picture.row, picture.pixels, mask)

    ImageSet.write(out, pictures(), labels=labelled.label_set(), provenance=provenance)
    record.write(out)
