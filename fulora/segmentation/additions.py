"""Image sets with added images: those that an ensemble drew masks on, and those that were generated with a mask."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import ImageSet, Picture
from fulora.data.pictures.image_and_mask import split_pair
from fulora.data.provenance import Provenance
from fulora.environment import derive_seed
from fulora.metrics.segmentation import dice
from fulora.progress import track
from fulora.segmentation.gates import AdditionConfig, find_mask_fault, fit_ellipse_mask
from fulora.segmentation.material import PSEUDO
from fulora.segmentation.model import Unet
from fulora.segmentation.predict import largest_filled
from fulora.segmentation.pseudo_label import choose_confidence, fit_temperature, predict_ensemble

MaskedPictures = Iterator[tuple[Picture, float]]
"""Pictures with a mask and how sure of it what drew it is, 0..1."""


@dataclass
class AdditionRecord:
    """What was offered, and what became of it; `accepted` are image ids.

    Attributes:
        wanted: images to add at most.
        calibration: how `choose_confidence` was found; empty where nothing was.
    """

    wanted: int
    offered: int
    choose_confidence: float = 0.0
    looked_at: int = 0
    accepted: list[str] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    calibration: dict[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write `pseudo_labels.json`; `accept_rate` is of those looked at."""
        rate = len(self.accepted) / self.looked_at if self.looked_at else 0.0
        (folder / PSEUDO).write_text(json.dumps(vars(self) | {"accept_rate": rate}, indent=1) + "\n", encoding="utf-8")


def add_pseudo_labelled(
    out: Path,
    config: AdditionConfig,
    labelled: ImageSet,
    candidates: ImageSet,
    teachers: Sequence[Unet],
    provenance: Provenance,
) -> None:
    """Write the labelled set with the candidates' training images whose drawn masks are believed.

    Args:
        provenance: whom the candidates' generator and the teachers learned from.

    Raises:
        ImageSetError: there are no candidates, or no labelled validation images to calibrate on.
    """
    known = {row.image_id for row in labelled.rows("train")}
    offered = _in_order([row for row in candidates.rows("train") if row.image_id not in known])
    record = _record(config, offered)
    held_out = labelled.rows("validation")
    if not held_out:
        raise ImageSetError(f"{labelled.path}: no labelled validation images to calibrate the confidence on")
    said = list(predict_ensemble(teachers, map(labelled.pixels, held_out)))
    truth = [labelled.mask(row) for row in held_out]
    temperature = fit_temperature([opinion.share for opinion in said], truth)
    sure = [opinion.confidence(temperature) for opinion in said]
    right = [dice(opinion.mask > 0, mask > 0) for opinion, mask in zip(said, truth, strict=True)]
    record.least_confidence, reached = choose_confidence(sure, right, config.target_dice)
    accepted = np.array(sure) >= record.least_confidence
    record.calibration = {
        "temperature": temperature,
        "target_dice": config.target_dice,
        "target_reached": float(reached),
        "validation_images": float(len(held_out)),
        "validation_accepted": float(accepted.sum()),
        "validation_dice_accepted": float(np.array(right)[accepted].mean()) if accepted.any() else 0.0,
        "validation_dice_all": float(np.mean(right)),
    }

    def drawn() -> MaskedPictures:
        for row, opinion in zip(offered, predict_ensemble(teachers, map(candidates.pixels, offered)), strict=True):
            yield Picture(row, candidates.pixels(row), opinion.mask), opinion.confidence(temperature)

    _write(out, config, labelled, provenance, record, drawn)


def add_pairs(out: Path, config: AdditionConfig, labelled: ImageSet, pairs: ImageSet, provenance: Provenance) -> None:
    """Write the labelled set with generated pairs.

    Args:
        provenance: whom the pairs' generator learned from.

    Raises:
        ImageSetError: there are no pairs, or pictures that are not in colour.
    """
    offered = _in_order(pairs.rows("train"))
    record = _record(config, offered)

    def parted() -> MaskedPictures:
        for row in offered:
            stored = pairs.stored(row)
            if stored.ndim != 3:
                raise ImageSetError(f"{row.image_id}: is gray, not RGB: generate pairs with colour=rgb")
            pixels, mask = split_pair(stored)
            yield Picture(row, pixels, largest_filled(mask) if config.filtered else mask), 1.0

    _write(out, config, labelled, provenance, record, parted)


def add_drawn_on_masks(
    out: Path,
    config: AdditionConfig,
    labelled: ImageSet,
    drawn: ImageSet,
    teachers: Sequence[Unet],
    provenance: Provenance,
) -> None:
    """Write the labelled set with pictures that were drawn on masks, where the teachers see the mask in the picture.

    Args:
        provenance: whom the pictures' generator and the teachers learned from.

    Raises:
        ImageSetError: there are no such pictures.
    """
    offered = _in_order(drawn.rows("train"))
    record = _record(config, offered)
    record.least_confidence = config.agreement

    def seen() -> MaskedPictures:
        for row, opinion in zip(offered, predict_ensemble(teachers, map(drawn.pixels, offered)), strict=True):
            mask = drawn.mask(row)
            yield Picture(row, drawn.pixels(row), mask), dice(opinion.mask > 0, mask > 0)

    _write(out, config, labelled, provenance, record, seen)


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
            cause = find_mask_fault(picture.mask, config.gates) if config.filtered else None
            if config.filtered and cause is None and confidence < record.least_confidence:
                cause = "disagreement"
            if cause is not None:
                record.rejected[cause] += 1
                continue
            record.accepted.append(picture.row.image_id)
            mask = fit_ellipse_mask(picture.mask) if config.refine else picture.mask
            yield Picture(picture.row, picture.pixels, mask)

    ImageSet.write(out, pictures(), labels=labelled.label_set(), provenance=provenance)
    record.write(out)
