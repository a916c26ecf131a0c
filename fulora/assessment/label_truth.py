"""Whether synthetic images show the requested plane, according to models that did not generate them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from fulora.metrics.statistics import wilson

Scores = Float[np.ndarray, "_ planes"]
Places = Int[np.ndarray, "_"]


@dataclass(frozen=True)
class ClassScores:
    """Scores of each picture for each class of a label set, in its order, by one model; larger is more likely.

    Attributes:
        by: the model: `judge`, a classifier of real images, or `clip`, by prompts.
        made: of the synthetic pictures.
        real, real_planes: of real pictures of patients that the model was not fitted to, and their classes.
    """

    by: str
    made: Scores
    real: Scores
    real_planes: Places


@dataclass(frozen=True)
class Truth:
    """Predictions of one model for the synthetic images of one plane.

    Attributes:
        plane: the requested plane.
        seen: numbers of images predicted as each class, in the order of the label set.
        agreement, low, high: share of the `n` images predicted as the plane, with a 95 % Wilson interval.
        real_n, real_agreement, real_low: the same of real images of other patients, and the lower end of its interval.
    """

    by: str
    plane: str
    n: int
    seen: tuple[int, ...]
    agreement: float
    low: float
    high: float
    real_n: int
    real_agreement: float | None
    real_low: float


def known_planes(planes: Shaped[np.ndarray, " n"], classes: Sequence[str]) -> Places:
    """Return the index of each plane among the classes; -1 for any other."""
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place.get(plane, -1) for plane in planes.tolist()], np.int64)


def margins(scores: Scores, requested: Places) -> Float[np.ndarray, " n"]:
    """Return the score of the requested plane minus the highest of the others; inf if the request is unknown."""
    rows = np.arange(len(scores))
    others = scores.astype(np.float64, copy=True)
    others[rows, requested] = -np.inf
    return np.where(requested < 0, np.inf, scores[rows, requested] - others.max(axis=1, initial=-np.inf))


def compute_truths(requested: Places, opinions: Sequence[ClassScores], classes: Sequence[str]) -> tuple[Truth, ...]:
    """Return a row for each model and each requested class."""
    return tuple(truth for opinion in opinions for truth in _truths(requested, opinion, classes))


def _truths(requested: Places, opinion: ClassScores, classes: Sequence[str]) -> Iterator[Truth]:
    seen, seen_real = opinion.made.argmax(axis=1), opinion.real.argmax(axis=1)
    for place, plane in enumerate(classes):
        own, real = seen[requested == place], seen_real[opinion.real_planes == place]
        if not len(own):
            continue
        share = wilson(int((own == place).sum()), len(own))
        of_real = wilson(int((real == place).sum()), len(real)) if len(real) else None
        yield Truth(
            by=opinion.by,
            plane=plane,
            n=len(own),
            seen=tuple(np.bincount(own, minlength=len(classes)).tolist()),
            agreement=share.value,
            low=share.low or 0.0,
            high=1.0 if share.high is None else share.high,
            real_n=len(real),
            real_agreement=of_real.value if of_real else None,
            real_low=(of_real.low or 0.0) if of_real else 0.0,
        )
