"""The three sets of an assessment, their features, and nearest images."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from fulora.assessment.encoders import Views
from fulora.assessment.loaded_pictures import Pictures, PicturesError, of_rows
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, refuse_other_classes
from fulora.metrics.memorisation import Votes, vote

LEAST = 8
"""Fewest images of a set, or of a plane, to be assessed."""
ALL_PLANES = "all"
"""The name of all planes together."""


@dataclass(frozen=True)
class AssessedSets:
    """Synthetic pictures, real ones of held-out patients, and optionally the training images of the generator.

    Attributes:
        labels: the classes of all of them; None if unknown.
    """

    synthetic: Pictures
    held_out: Pictures
    train: Pictures | None = None
    labels: LabelSet | None = None

    def __post_init__(self) -> None:
        if self.train is not None and (both := set(self.train.patients) & set(self.held_out.patients)):
            raise PicturesError(
                f"{len(both)} training patients of the generator are among the real images, such as {min(both)}: real "
                "images must be of held-out patients"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in order; empty if unknown."""
        return () if self.labels is None else self.labels.names

    @property
    def lacking(self) -> str:
        """Why there are too few images for an assessment; "" if there are enough."""
        train = () if self.train is None else (("training", self.train),)
        for name, pictures in (("synthetic", self.synthetic), ("held-out real", self.held_out), *train):
            if len(pictures) < LEAST:
                return f"{len(pictures)} {name} images, and at least {LEAST} are needed"
        return "" if len(set(self.real.patients)) > 2 else "real images of fewer than three patients"

    @cached_property
    def real(self) -> Pictures:
        """All real pictures: the training images of the generator, then the held-out ones."""
        return self.held_out if self.train is None else self.train + self.held_out


def read_sets(synthetic: ImageSet, trained_on: ImageSet, held_out: ImageSet) -> AssessedSets:
    """Read a synthetic set, the real training images of one set, and the validation images of another.

    Raises:
        LabelSetError: if their classes differ.
    """
    labels = held_out.label_set()
    for name, others in (("the synthetic images", synthetic), ("the training images", trained_on)):
        refuse_other_classes(labels, others.label_set(), name="the held-out images", other_name=name)
    return AssessedSets(
        of_rows(synthetic, synthetic.rows()),
        held_out=of_rows(held_out, held_out.rows("validation")),
        train=of_rows(trained_on, [row for row in trained_on.rows("train") if row.origin == "real"]),
        labels=labels,
    )


@dataclass(frozen=True)
class EncodedSets:
    """Features of `AssessedSets` by one encoder, and of the planes' prompts if it is a CLIP, a row a plane."""

    encoder: str
    synthetic: Views
    held_out: Views
    train: Views | None
    planes: Float[np.ndarray, "planes d"] | None = None

    @cached_property
    def real(self) -> Views:
        """All real pictures, in the order of `AssessedSets.real`."""
        return self.held_out if self.train is None else self.train + self.held_out


@dataclass(frozen=True)
class NearestImages:
    """By one encoder, the real image nearest to each synthetic one, and to each real one among other patients'.

    Real images are indexed as in `AssessedSets.real`.
    """

    made: Votes
    among_real: Votes


def find_nearest(sets: AssessedSets, encoded: EncodedSets) -> NearestImages | None:
    """Find the nearest images; None without training images."""
    if sets.train is None or encoded.train is None:
        return None
    real, patients = encoded.real, sets.real.patients
    return NearestImages(
        vote(encoded.synthetic.plain, real.plain, patients, mirrored=encoded.synthetic.mirrored),
        vote(real.plain, real.plain, patients, own=patients, mirrored=real.mirrored),
    )


def reported_planes(shown: Iterable[str]) -> list[str]:
    """Return `ALL_PLANES`, and each plane if there are several."""
    planes = sorted(set(shown))
    return [ALL_PLANES, *(planes if len(planes) > 1 else ())]


def places_of(plane: str, pictures: Pictures) -> Int[np.ndarray, " m"]:
    """Return the indices of the pictures of a plane; of all pictures for `ALL_PLANES`."""
    return np.flatnonzero((pictures.planes == plane) | (plane == ALL_PLANES))
