"""Images with their masks, as a segmentation network is trained on: loaded from an image set, resized and checked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.pictures.loaders import load_masks, load_pixels, load_square_masks, load_squares
from fulora.data.structures import check_numbers
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.pseudo_labels_file import pseudo_labelled

Stack = UInt8[np.ndarray, "_ _ _"]  # (n, h, w), checked by `check_pairs`


class SegmentationDataError(ValueError):
    """Images and masks that cannot be trained on."""


@dataclass(frozen=True)
class ImageMaskPairs:
    """Images with masks, of one size.

    Attributes:
        images: (n, h, w) gray, 0 to 255.
        masks: (n, h, w) class numbers, 0 background.
        marked: (n,) which are synthetic or have a mask drawn by a model; None: none.
    """

    images: Stack
    masks: Stack
    marked: Bool[np.ndarray, "_"] | None = None


def load_image_mask_pairs(images: ImageSet, rows: Sequence[Image], cfg: UnetConfig, labels: LabelSet) -> ImageMaskPairs:
    """Load the pictures and masks of `rows`; synthetic and pseudo-labelled ones are marked.

    Args:
        labels: the classes, with their structures.

    Raises:
        ValueError: if there are no rows, or, without `image_size_px`, pictures of several sizes.
        ImageSetError: if a row has no mask.
        LabelSetError: if a class has no structures, or a mask has a class number that its class does not name.
    """
    predicted = pseudo_labelled(images)
    marked = np.array([row.origin == "synthetic" or row.image_id in predicted for row in rows], bool)
    size, fit = cfg.image_size_px, cfg.fit
    if size is None:
        pixels, masks = load_pixels(images, rows), load_masks(images, rows)
    else:
        pixels, masks = load_squares(images, rows, size, fit), load_square_masks(images, rows, size, fit)
    for row, mask in zip(rows, masks, strict=True):
        check_numbers(mask, labels.of(row.plane), f"{images.path.name}, {row.image_id}")
    return ImageMaskPairs(pixels, masks, marked)


def check_pairs(cfg: UnetConfig, pairs: ImageMaskPairs, name: str) -> None:
    """Check images and masks against each other and the config.

    Raises:
        SegmentationDataError: if sizes differ, there are fewer than two images, or a mask has an unknown class.
    """
    images, masks, size = pairs.images, pairs.masks, cfg.image_size_px
    wanted = images.shape[1:] if size is None else (size, size)
    if images.shape != masks.shape or images.shape[1:] != wanted or len(images) < 2:
        raise SegmentationDataError(
            f"{name}: images {images.shape} and masks {masks.shape}; both must be (n, {wanted[0]}, {wanted[1]}) with "
            f"n >= 2, where image_size_px={size}"
        )
    if pairs.marked is not None and len(pairs.marked) != len(images):
        raise SegmentationDataError(f"{name}: {len(images)} images and {len(pairs.marked)} marks: one each is needed")
    if masks.max() >= max(2, cfg.outputs):
        raise SegmentationDataError(
            f"{name}: a mask holds class {masks.max()}; classes={cfg.outputs} allows 0 to {max(1, cfg.outputs - 1)}"
        )
