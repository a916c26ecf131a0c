"""What a LoRA is trained on, and what is excluded: gray pictures with one caption each."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.labels import Plane
from fulora.data.pictures.image_and_mask import join_pair
from fulora.data.pictures.pixels import pixel_digest
from fulora.diffusion.lora.adapters import LoraError
from fulora.diffusion.lora.training_facts import TrainingFacts


@dataclass(frozen=True)
class Examples:
    """Gray pictures, 0 to 255, each (height, width) of its own size, or in three colours; and one caption each."""

    pictures: Sequence[UInt8[np.ndarray, "h w *rgb"]]
    captions: Sequence[str]


@dataclass(frozen=True)
class Excluded:
    """Whom and what nothing may be trained on: those of a validation or test set.

    Attributes:
        name: of the set, for messages.
        patients: `Image.patient_key` of each.
        digests: `Image.sha256`, which is `pixel_digest`, of each picture.
    """

    name: str
    patients: AbstractSet[str]
    digests: AbstractSet[str]


@dataclass(frozen=True)
class Material:
    """All that a training is given.

    Attributes:
        images: what is trained on.
        planes: of each of them, where they are known.
        labels: their classes, where they are known.
        patients: who is shown in them (`Image.patient_key`).
        validation: images of other patients, for the validation loss.
        prior: images that must not be unlearned.
        excluded: whose patients and pictures may not be among `images`.
    """

    images: Examples
    planes: Sequence[Plane] = ()
    labels: LabelSet | None = None
    patients: AbstractSet[str] = frozenset()
    validation: Examples | None = None
    prior: Examples | None = None
    excluded: Sequence[Excluded] = ()

    def captions(self) -> dict[Plane, set[str]]:
        """The captions of each class that is trained on; empty where classes are not known."""
        found: dict[Plane, set[str]] = {}
        for plane, caption in zip(self.planes, self.images.captions, strict=False):
            found.setdefault(plane, set()).add(caption)
        return found


def counted(
    facts: TrainingFacts, images: Examples, validation: Examples | None = None, prior: Examples | None = None
) -> TrainingFacts:
    """TrainingFacts with what the images themselves tell."""
    return replace(
        facts,
        captions=Counter(images.captions),
        images_digest=_digest(images),
        validation_digest=_digest(validation),
        prior_digest=_digest(prior),
        validation_images=len(validation.pictures) if validation else 0,
    )


def _digest(images: Examples | None) -> str:
    if images is None:
        return ""
    pairs = sorted(f"{pixel_digest(x)} {caption}" for x, caption in zip(images.pictures, images.captions, strict=True))
    return hashlib.sha256("\n".join(pairs).encode()).hexdigest()


def load_examples(images: ImageSet, rows: Sequence[Image], *, mask_channel: bool = False) -> Examples:
    """The pictures of `rows`, in order, each of its own size, with their captions.

    Where none has a caption, each gets that of its class.

    Args:
        mask_channel: as pairs (`fulora.data.pictures.image_and_mask`): the mask is the red channel.

    Raises:
        LoraError: some have a caption and others do not, or a pair is wanted of one without a mask, or with a mask of
            several structures.
    """
    masked = [row.image_id for row in rows if not row.mask_file] if mask_channel else []
    if masked:
        raise LoraError(
            f"mask_channel=true: {len(masked)} of {len(rows)} images have no mask, such as {masked[0]}; pairs are made "
            "of images with one mask each, which `fulora data curate` keeps where the folder has them"
        )
    without = [row.image_id for row in rows if not row.caption]
    if without and len(without) < len(rows):
        raise LoraError(
            f"{len(without)} of {len(rows)} images have no caption, such as {without[0]}: give all of them one, or "
            "none (then each gets the caption of its class)"
        )
    of_class = images.label_set().captions if without else {}
    captions = [of_class[row.plane] if without else row.caption for row in rows]
    if mask_channel:
        return Examples([join_pair(images.pixels(row), _one_structure(images, row)) for row in rows], captions)
    return Examples([images.pixels(row) for row in rows], captions)


def _one_structure(images: ImageSet, row: Image) -> UInt8[np.ndarray, "h w"]:
    mask = images.mask(row)
    classes = sorted(set(np.unique(mask).tolist()) - {0})
    if len(classes) > 1:
        raise LoraError(
            f"mask_channel=true: the mask of {row.image_id} has the classes {', '.join(map(str, classes))}, and a pair "
            "holds one structure: curate masks of one class"
        )
    return mask
