"""Filters for synthetic images: each a score, and a threshold that few held-out real images fall below.

A filter may reject a share `false_reject` of real images like those it was calibrated on, divided among its scores (two
sides of brightness, several encoders). Planes with enough real images have their own thresholds. With too few held-out
real images for the rate a filter rejects nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from fulora.assessment.assessed_sets import AssessedSets, EncodedSets, NearestImages
from fulora.assessment.label_truth import ClassScores, Places, known_planes, margins
from fulora.assessment.loaded_pictures import Pictures
from fulora.data.hybrid import FilterName
from fulora.metrics.conformal import lower_threshold
from fulora.metrics.neighbours import nearest, squared_distances

Values = Float[np.ndarray, "_"]
RATIO = "distance to the nearest patient over that to the next"


@dataclass(frozen=True)
class CalibratedFilter:
    """One calibrated filter.

    Attributes:
        thresholds: a picture is rejected if one of its scores is below the threshold; None rejects nothing, because of
            too few real images.
        scores: their names.
        calibrated_on: held-out real images.
        rejected: numbers of synthetic images, by plane.
    """

    name: FilterName
    scores: tuple[str, ...]
    thresholds: tuple[float | None, ...]
    calibrated_on: int
    rejected: dict[str, int]


@dataclass(frozen=True)
class FilterScore:
    """One score of a filter: of the synthetic pictures, and of the real ones that it is calibrated on.

    Attributes:
        share: of the filter's rate for this score.
    """

    about: str
    made: Values
    real: Values
    share: float = 1.0


def screen(
    sets: AssessedSets,
    encoded: Sequence[EncodedSets],
    near: Sequence[NearestImages],
    opinions: Sequence[ClassScores],
    false_reject: float,
) -> tuple[list[CalibratedFilter], Bool[np.ndarray, "filters n"]]:
    """Calibrate all filters, and apply them to the synthetic pictures.

    Args:
        near: by encoder; empty without training images: then there is no filter of memorised images.
    """
    requested = known_planes(sets.synthetic.planes, sets.classes)
    parts: dict[FilterName, list[FilterScore]] = {"brightness": _brightness(sets)}
    counts: dict[FilterName, int] = {}
    for opinion in opinions:
        name: FilterName = "plane" if opinion.by == "judge" else "clip"
        parts[name] = list(_by_planes(opinion, requested, sets.classes, false_reject))
        counts[name] = len(opinion.real)
    if near:
        parts["memorised"] = [
            FilterScore(f"{RATIO}, {one.encoder}", *_ratios(sets, images), share=1 / len(near))
            for one, images in zip(encoded, near, strict=True)
        ]
    filters, rejected = [], []
    for name, scores in parts.items():
        limits = [lower_threshold(part.real, false_reject * part.share) for part in scores]
        fails = np.any([part.made < limit for part, limit in zip(scores, limits, strict=True)], axis=0)
        count = counts.get(name, len(scores[0].real))
        filters.append(_filter(name, [part.about for part in scores], limits, count, fails, sets.synthetic))
        rejected.append(fails)
    duplicate, fails = _near_duplicates(sets, encoded, false_reject)
    return [*filters, duplicate], np.array([*rejected, fails])


def _filter(
    name: FilterName,
    scores: Sequence[str],
    limits: Sequence[float],
    count: int,
    fails: Bool[np.ndarray, " n"],
    made: Pictures,
) -> CalibratedFilter:
    thresholds = tuple(None if np.isinf(limit) else limit for limit in limits)
    rejected = {str(plane): int(fails[made.planes == plane].sum()) for plane in sorted(set(made.planes))}
    return CalibratedFilter(name, tuple(scores), thresholds, count, rejected)


def _by_planes(
    opinion: ClassScores, requested: Places, classes: Sequence[str], false_reject: float
) -> Iterator[FilterScore]:
    """A threshold for each plane with enough real images; the others share one."""
    made, real = margins(opinion.made, requested), margins(opinion.real, opinion.real_planes)
    counts = np.bincount(opinion.real_planes, minlength=len(classes))
    alone = [place for place in range(len(classes)) if counts[place] + 1 >= 1 / false_reject]
    together = [place for place in range(len(classes)) if place not in alone]
    for places in [*([place] for place in alone), together]:
        own = np.isin(requested, places)
        if own.any():
            about = f"margin of {', '.join(classes[place] for place in places)} by {opinion.by}"
            known = np.isin(opinion.real_planes, places)
            yield FilterScore(about, np.where(own, made, np.inf), real[known] if len(places) == 1 else real)


def _ratios(sets: AssessedSets, near: NearestImages) -> tuple[Values, Values]:
    """Ratios of synthetic pictures whose nearest image was trained on (others cannot be copies), and of real ones."""
    trained = 0 if sets.train is None else len(sets.train)
    return np.where(near.made.nearest < trained, near.made.ratio, np.inf), near.among_real.ratio


def _brightness(sets: AssessedSets) -> list[FilterScore]:
    made, known = _levels(sets.synthetic), _levels(sets.real)
    return [
        FilterScore(f"{what}, {side}", sign * made[:, column], sign * known[:, column], share=1 / 4)
        for column, what in enumerate(("mean gray level", "spread of gray levels"))
        for side, sign in (("not too low", 1), ("not too high", -1))
    ]


def _levels(pictures: Pictures) -> Float[np.ndarray, "n 2"]:
    return np.array([(picture.mean(), picture.std()) for picture in pictures.pixels])


def _near_duplicates(
    sets: AssessedSets, encoded: Sequence[EncodedSets], false_reject: float
) -> tuple[CalibratedFilter, Bool[np.ndarray, " n"]]:
    """Find synthetic pictures nearer to an earlier one of their plane than real ones of different patients are.

    The rate is that of a set as large as the real one: the more pictures a plane has, the nearer is the nearest.
    """
    names = [f"distance to the nearest earlier one of the plane, {one.encoder}" for one in encoded]
    rate = false_reject / len(encoded)
    limits = [lower_threshold(_within_planes(one.real.plain, sets.real), rate) for one in encoded]
    with_limits = zip(encoded, limits, strict=True)
    fails = np.any([_has_earlier(one.synthetic.plain, sets.synthetic, limit) for one, limit in with_limits], axis=0)
    return _filter("near_duplicate", names, limits, len(sets.real), fails, sets.synthetic), fails


def _within_planes(features: Float[np.ndarray, "n d"], pictures: Pictures) -> Values:
    """Distances of real images to the nearest of another patient in their plane."""
    distances = [np.zeros(0)]
    for plane in sorted(set(pictures.planes)):
        own = np.flatnonzero(pictures.planes == plane)
        patients = pictures.patients[own]
        if len(set(patients)) > 1:
            distances.append(nearest(features[own], features[own], apart=[(patients, patients)])[0][:, 0])
    return np.concatenate(distances)


def _has_earlier(features: Float[np.ndarray, "n d"], pictures: Pictures, limit: float) -> Bool[np.ndarray, " n"]:
    near = np.zeros(len(features), bool)
    if limit <= 0:
        return near
    for plane in sorted(set(pictures.planes)):
        own: Int[np.ndarray, " m"] = np.flatnonzero(pictures.planes == plane)
        for rows, squared in squared_distances(features[own], features[own]):
            earlier = np.arange(len(own))[None] < np.arange(len(own))[rows, None]
            near[own[rows]] |= ((squared < limit**2) & earlier).any(axis=1)
    return near


def causes(
    filters: Sequence[CalibratedFilter], rejected: Bool[np.ndarray, "filters n"]
) -> Iterator[tuple[FilterName, ...]]:
    """Iterate over pictures, giving the filters that each fails."""
    for fails in rejected.T:
        yield tuple(one.name for one, fail in zip(filters, fails.tolist(), strict=True) if fail)
