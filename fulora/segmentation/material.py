"""Training data of a segmentation network from an image set: pictures and masks, decoded and resized."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.pictures.loaders import load_masks, load_pixels, load_square_masks, load_squares
from fulora.data.structures import check_numbers
from fulora.json_files import read_json
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.train import ImageMaskPairs

PSEUDO = "pseudo_labels.json"
"""File of an image set with pseudo-labels: the ids of the images with predicted masks, among others."""


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


class _PseudoLabels(BaseModel):
    accepted: list[str]


def pseudo_labelled(images: ImageSet) -> frozenset[str]:
    """Return the ids of the images with masks that a model predicted."""
    path = images.path / PSEUDO
    return frozenset(read_json(path, _PseudoLabels).accepted) if path.is_file() else frozenset()
