"""Identical and near-duplicate images of two patients."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from scipy.cluster.hierarchy import DisjointSet

from fulora.data.pictures.near_duplicates import PictureSignature, compute_signature, near_pairs
from fulora.data.pictures.pixels import pixel_digest
from fulora.intake.raw_image import RawImage


class PictureLikeness(NamedTuple):
    """The features of an image for comparison: of the source's pixels, and of those that will be written.

    Both are compared: burned-in names make copies differ, and black borders make different images more similar.
    """

    digests: tuple[str, str]
    likenesses: tuple[PictureSignature, PictureSignature]

    @classmethod
    def of(cls, before: UInt8[np.ndarray, "h w"], written: UInt8[np.ndarray, "h2 w2"]) -> "PictureLikeness":
        """Compute the features from the source's pixels and those that will be written."""
        signatures = compute_signature(before), compute_signature(written)
        return cls((pixel_digest(before), pixel_digest(written)), signatures)


class DuplicatePair(NamedTuple):
    """Duplicate images of two patients.

    Attributes:
        correlation: of the thumbnails, the higher of both comparisons.
        identical: whether the pixels are equal, before or after processing.
    """

    first: RawImage
    second: RawImage
    correlation: float
    identical: bool


def find_duplicate_pairs(images: Sequence[RawImage], features: Sequence[PictureLikeness | None]) -> list[DuplicatePair]:
    """Return duplicate images of two patients; of several identical ones, a chain of pairs."""
    pairs: dict[tuple[int, int], float] = {}
    for kind in (0, 1):
        same = defaultdict(list)
        for place, look in enumerate(features):
            if look is not None:
                same[look.digests[kind]].append(place)
        near = near_pairs([None if look is None else look.likenesses[kind] for look in features])
        chains = ((one, other, 1.0) for places in same.values() for one, other in pairwise(places))
        for one, other, alike in (*near, *chains):
            pairs[one, other] = max(pairs.get((one, other), 0.0), alike)
    return [
        DuplicatePair(images[one], images[other], alike, _is_identical(features[one], features[other]))
        for (one, other), alike in sorted(pairs.items())
        if images[one].patient_key != images[other].patient_key
    ]


def _is_identical(one: PictureLikeness | None, other: PictureLikeness | None) -> bool:
    return bool(one and other and any(map(str.__eq__, one.digests, other.digests)))


def group_duplicates(pairs: Sequence[DuplicatePair]) -> dict[str, str]:
    """Return, for each image of a pair by its id, the name of its group of duplicates: the smallest id of the group."""
    joined = DisjointSet(sorted({image.image_id for pair in pairs for image in (pair.first, pair.second)}))
    for pair in pairs:
        joined.merge(pair.first.image_id, pair.second.image_id)
    return {name: min(joined.subset(name)) for name in joined}
