"""The figures of one encoder: fidelity, diversity and memorisation, beside what real images give."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import pdist

from fulora.assessment.assessed_sets import LEAST, AssessedSets, EncodedSets, NearestImages, places_of, reported_planes
from fulora.assessment.encoders import Views
from fulora.assessment.loaded_pictures import Pictures
from fulora.metrics.fidelity import Sample, cmmd, kid
from fulora.metrics.frechet import frechet_distance
from fulora.metrics.manifold import Manifold, manifold, vendi_score
from fulora.metrics.memorisation import Memorisation, cross_patient_distance, memorisation, same_patient_distance
from fulora.metrics.mmd_test import mmd_test
from fulora.metrics.neighbours import nearest

Features = Float[np.ndarray, "n d"]
SUBSETS, SUBSET_SIZE, NEIGHBOURS, PAIRED_ROWS = 50, 100, 5, 1000


@dataclass(frozen=True)
class SetFigures:
    """Distance of a set from held-out real images, and its diversity, at equal numbers of images.

    Attributes:
        kid, kid_sd: mean and standard deviation of the unbiased polynomial MMD² over random subsets of `subset` images,
            half of them at most.
        p: of a permutation test that both are of one distribution, one image a patient (`mmd_test`).
        cmmd: of the directions of a CLIP; None by another encoder.
        frechet: mostly a measure of `n`, so only to be read beside the value of real images.
        vendi: effective number of different images among `n`.
        spread: median distance between two of the images.
        near_duplicates: share of images whose nearest other one of their set is nearer than real images of different
            patients are (first percentile).
    """

    n: int
    subset: int
    kid: float
    kid_sd: float
    p: float
    cmmd: float | None
    frechet: float
    manifold: Manifold
    vendi: float
    spread: float
    near_duplicates: float


@dataclass(frozen=True)
class PlaneFigures:
    """One plane by one encoder: synthetic images, and real ones of other patients, against the held-out ones.

    Attributes:
        real: of the training images; None if they are too few.
        vendi_held_out, spread_held_out: of as many held-out images as the synthetic ones are compared with.
    """

    plane: str
    synthetic: SetFigures
    real: SetFigures | None
    vendi_held_out: float
    spread_held_out: float


@dataclass(frozen=True)
class Share:
    """Share of a site or machine among training images, and among those nearest to synthetic images."""

    kind: str
    name: str
    of_training: float
    of_nearest: float


@dataclass(frozen=True)
class Distances:
    """Percentiles, 0 to 100, of the distance to the nearest training image, of synthetic and of held-out images."""

    synthetic: tuple[float, ...]
    held_out: tuple[float, ...]


@dataclass(frozen=True)
class EncoderFigures:
    """All figures of one encoder. Without training images there are none of memorisation.

    Attributes:
        pairs: (synthetic, real) pixel digests (`pixel_digest`) of the most suspicious pairs, nearest relative to other
            patients first.
        ratios: of those pairs, distance to the nearest patient over that to the next.
    """

    encoder: str
    planes: tuple[PlaneFigures, ...]
    memorisation: Memorisation | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    ratios: tuple[float, ...] = ()
    distances: Distances | None = None
    shares: tuple[Share, ...] = ()


def compute_figures(
    sets: AssessedSets,
    encoded: EncodedSets,
    near: NearestImages | None,
    *,
    pairs: int = 20,
    draws: int = 9999,
    seed: int = 0,
) -> EncoderFigures:
    """Compute all figures of one encoder."""
    planes = reported_planes(sets.synthetic.planes.tolist())
    of_planes = tuple(one for plane in planes if (one := _plane(plane, sets, encoded, seed)) is not None)
    if sets.train is None or encoded.train is None or near is None:
        return EncoderFigures(encoded.encoder, of_planes)
    patients, real = sets.real.patients, encoded.real.plain
    trained = np.arange(len(patients)) < len(sets.train)
    order = np.argsort(near.made.ratio, kind="stable")[:pairs]
    suspicious = zip(order.tolist(), near.made.nearest[order].tolist(), strict=True)
    return EncoderFigures(
        encoded.encoder,
        of_planes,
        memorisation(
            near.made,
            near.among_real,
            patients,
            trained,
            same_patient=same_patient_distance(real, np.char.add(patients.astype(str), sets.real.planes.astype(str))),
            draws=draws,
            seed=seed,
        ),
        tuple((sets.synthetic.digest(made), sets.real.digest(real)) for made, real in suspicious),
        tuple(float(near.made.ratio[place]) for place in order),
        _distances(encoded),
        tuple(_shares(sets.train, near.made.nearest[near.made.nearest < len(sets.train)])),
    )


def _plane(plane: str, sets: AssessedSets, encoded: EncodedSets, seed: int) -> PlaneFigures | None:
    """Compute the figures of a plane; None if a set has too few images."""
    synthetic = _of_plane(plane, encoded.synthetic, sets.synthetic)
    held_out = _of_plane(plane, encoded.held_out, sets.held_out)
    size = min(len(synthetic.features), len(held_out.features))
    if size < LEAST or len(set(held_out.groups)) < 2:
        return None
    limit = cross_patient_distance(held_out.features, held_out.groups)
    against = HeldOutPlane(encoded.encoder, held_out, limit, seed)
    real = None
    if sets.train is not None and encoded.train is not None:
        train = _of_plane(plane, encoded.train, sets.train)
        if len(train.features) >= LEAST and len(set(train.groups)) > 1:
            real = _closeness(train, against)
    some = held_out.features[_some(len(held_out.features), size, seed)]
    return PlaneFigures(plane, _closeness(synthetic, against), real, vendi_score(some), _spread(some))


@dataclass(frozen=True)
class HeldOutPlane:
    """The held-out images of a plane, and the distance below which two images are near duplicates."""

    encoder: str
    images: Sample
    limit: float
    seed: int


def _of_plane(plane: str, views: Views, pictures: Pictures) -> Sample:
    places = places_of(plane, pictures)
    return Sample(views.plain[places], pictures.patients[places])


def _some(count: int, wanted: int, seed: int) -> Int[np.ndarray, " wanted"]:
    return np.sort(np.random.default_rng(seed).permutation(count)[:wanted])


def _closeness(images: Sample, against: HeldOutPlane) -> SetFigures:
    features, held_out, seed = images.features, against.images.features, against.seed
    size = min(len(features), len(held_out))
    ours = features[_some(len(features), size, seed)]
    theirs = held_out[_some(len(held_out), size, seed)]
    subset = min(SUBSET_SIZE, size // 2)
    value, spread = kid(ours, theirs, subsets=SUBSETS, subset_size=subset, seed=seed)
    own = np.arange(len(features))
    alone, _ = nearest(features, features, apart=[(own, own)])
    return SetFigures(
        n=size,
        subset=subset,
        kid=value,
        kid_sd=spread,
        p=mmd_test(images, against.images, seed=seed),
        cmmd=cmmd(ours, theirs) if against.encoder.partition(":")[0] == "clip" else None,
        frechet=frechet_distance(ours, theirs),
        manifold=manifold(theirs, ours, NEIGHBOURS),
        vendi=vendi_score(ours),
        spread=_spread(ours),
        near_duplicates=float((alone[:, 0] < against.limit).mean()),
    )


def _spread(features: Features) -> float:
    return float(np.median(pdist(features[:PAIRED_ROWS].astype(np.float64))))


def _distances(encoded: EncodedSets) -> Distances | None:
    if encoded.train is None:
        return None
    distances = [nearest(views.plain, encoded.train.plain)[0] for views in (encoded.synthetic, encoded.held_out)]
    return Distances(*(tuple(map(float, np.percentile(values, range(101)))) for values in distances))


def _shares(train: Pictures, nearest_to: Int[np.ndarray, " n"]) -> Iterator[Share]:
    for kind, names in (("site", train.sites), ("machine", train.machines)):
        if len(set(names)) > 1:
            for name in sorted(set(names)):
                chosen = float((names[nearest_to] == name).mean()) if len(nearest_to) else 0.0
                yield Share(kind, str(name) or "unknown", float((names == name).mean()), chosen)
