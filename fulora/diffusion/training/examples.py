"""The images of a LoRA training, with one caption each, and the held-out images that must not be among them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from fulora.data.column_types import Plane
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.pictures.image_and_mask import join_pair
from fulora.data.pictures.pixels import pixel_digest
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.training_facts import TrainingFacts


@dataclass(frozen=True)
class Examples:
    """Gray pictures, 0 to 255, each (height, width) of its own size, or in three colours; and one caption each."""

    pictures: Sequence[UInt8[np.ndarray, "_ _ ..."]]
    captions: Sequence[str]


@dataclass(frozen=True)
class HeldOutSet:
    """Patients and pictures of a validation or test set, which must not be trained on.

    Attributes:
        name: name of the set, for messages.
        patients: `Image.patient_key` of each.
        digests: `Image.sha256` (`pixel_digest`) of each picture.
    """

    name: str
    patients: AbstractSet[str]
    digests: AbstractSet[str]


@dataclass(frozen=True)
class TrainingImages:
    """The images of a training.

    Attributes:
        images: training images.
        planes: plane of each training image, if known.
        labels: classes of the training images, if known.
        patients: patients of the training images (`Image.patient_key`).
        validation: images of other patients, for the validation loss.
        prior: images for the prior-preservation loss.
        excluded: held-out sets, whose patients and pictures must not be among `images`.
    """

    images: Examples
    planes: Sequence[Plane] = ()
    labels: LabelSet | None = None
    patients: AbstractSet[str] = frozenset()
    validation: Examples | None = None
    prior: Examples | None = None
    excluded: Sequence[HeldOutSet] = ()

    def captions(self) -> dict[Plane, set[str]]:
        """Return the training captions of each class; empty if the classes are not known."""
        captions: dict[Plane, set[str]] = {}
        for plane, caption in zip(self.planes, self.images.captions, strict=False):
            captions.setdefault(plane, set()).add(caption)
        return captions


def add_image_counts(
    facts: TrainingFacts, images: Examples, validation: Examples | None = None, prior: Examples | None = None
) -> TrainingFacts:
    """Return the facts with the counts and digests of the images."""
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
    """Return the pictures of `rows`, in order and in their own sizes, with their captions.

    If no row has a caption, each gets that of its class.

    Args:
        mask_channel: return pairs of image and mask, with the mask in the red channel
            (`fulora.data.pictures.image_and_mask`).

    Raises:
        LoraError: if only some rows have a caption, or, with `mask_channel`, if a row has no mask or a mask of several
            structures.
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
