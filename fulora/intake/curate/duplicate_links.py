"""Which pictures are the same, pixel for pixel or nearly, though they stand under two patients."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from scipy.cluster.hierarchy import DisjointSet

from fulora.data.pictures.near_duplicates import Likeness, likeness, near_pairs
from fulora.data.pictures.pixels import pixel_digest
from fulora.intake.raw_image import RawImage


class PictureLikeness(NamedTuple):
    """What a picture is compared by: as its source has it, and as it will be written (cleaned and fitted).

    Both count: a name outside the sector makes one frame two, and a black border makes two pictures more alike.
    """

    digests: tuple[str, str]
    likenesses: tuple[Likeness, Likeness]

    @classmethod
    def of(cls, before: UInt8[np.ndarray, "h w"], written: UInt8[np.ndarray, "h2 w2"]) -> "PictureLikeness":
        """Of both pictures of an image."""
        return cls((pixel_digest(before), pixel_digest(written)), (likeness(before), likeness(written)))


class DuplicatePair(NamedTuple):
    """Two images of two patients that show the same.

    Attributes:
        correlation: of the thumbnails, the higher of both comparisons.
        identical: pixel for pixel, as they are or as they will be written.
    """

    first: RawImage
    second: RawImage
    correlation: float
    identical: bool


def find_duplicate_pairs(images: Sequence[RawImage], seen: Sequence[PictureLikeness | None]) -> list[DuplicatePair]:
    """Pairs of images of two patients that show the same; of many identical ones, a chain from one to the next.

    Args:
        seen: what each image is compared by; None is compared with nothing.
    """
    found: dict[tuple[int, int], float] = {}
    for kind in (0, 1):
        same = defaultdict(list)
        for place, look in enumerate(seen):
            if look is not None:
                same[look.digests[kind]].append(place)
        near = near_pairs([None if look is None else look.likenesses[kind] for look in seen])
        chains = ((one, other, 1.0) for places in same.values() for one, other in pairwise(places))
        for one, other, alike in (*near, *chains):
            found[one, other] = max(found.get((one, other), 0.0), alike)
    return [
        DuplicatePair(images[one], images[other], alike, _identical(seen[one], seen[other]))
        for (one, other), alike in sorted(found.items())
        if images[one].patient_key != images[other].patient_key
    ]


def _identical(one: PictureLikeness | None, other: PictureLikeness | None) -> bool:
    return bool(one and other and any(map(str.__eq__, one.digests, other.digests)))


def group_duplicates(found: Sequence[DuplicatePair]) -> dict[str, str]:
    """By id of each image that a link names, what all images that links lead to have in common: the least id."""
    joined = DisjointSet(sorted({image.image_id for link in found for image in (link.first, link.second)}))
    for link in found:
        joined.merge(link.first.image_id, link.second.image_id)
    return {name: min(joined.subset(name)) for name in joined}
