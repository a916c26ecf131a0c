"""Phantom pictures of numbered people, for tests of assessment."""

import numpy as np

from fulora.assessment.assessed_sets import AssessedSets
from fulora.assessment.loaded_pictures import Pictures
from fulora.data.label_set import label_set
from fulora.intake.phantoms.scan import draw

FETAL = label_set("fetal_planes")
PEOPLE = 16


def of(pixels: list[np.ndarray], ids: np.ndarray, planes: np.ndarray, patients: np.ndarray) -> Pictures:
    nowhere = np.array([""] * len(ids))
    return Pictures(pixels, ids, planes, patients, True, nowhere, nowhere, np.zeros((len(ids), 2)))


def pictures(first: int, count: int, plane: str = "brain") -> Pictures:
    """One picture each of `count` people."""
    numbers = range(first, first + count)
    drawn = draw(plane, numbers, site="A", size_px=64, seed=0).images  # type: ignore[arg-type]
    names = np.array([f"i{n}" for n in numbers])
    return of(list(drawn), names, np.array([plane] * count), np.array([f"p{n}" for n in numbers]))


def sets_of(synthetic: Pictures) -> AssessedSets:
    """With 16 people who trained and 16 who did not."""
    return AssessedSets(synthetic, held_out=pictures(1000, PEOPLE), train=pictures(0, PEOPLE), labels=FETAL)
