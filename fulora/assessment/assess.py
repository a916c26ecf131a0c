"""The figures of one encoder: fidelity, diversity and memorisation, beside what real images give."""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Int

from fulora.assessment.pictures import Pictures, PicturesError
from fulora.metrics.fidelity import kid
from fulora.metrics.manifold import Manifold, manifold, vendi_score
from fulora.metrics.memorisation import Memorisation, memorisation, suspicious_distance, vote
from fulora.metrics.neighbours import nearest

Features = Float[np.ndarray, "n d"]
SUBSETS, SUBSET_SIZE, LEAST, NEIGHBOURS = 50, 100, 12, 5


@dataclass(frozen=True)
class Closeness:
    """How near a set is to held-out real images, at equal numbers of images.

    Attributes:
        kid, kid_sd: mean and standard deviation of the unbiased polynomial MMD² over random subsets of `subset` images.
        vendi: effective number of different images among `n`.
        near_duplicates: share of images whose nearest other one of their set is nearer than real images of different
            patients are (first percentile).
    """

    n: int
    subset: int
    kid: float
    kid_sd: float
    manifold: Manifold
    vendi: float
    near_duplicates: float


@dataclass(frozen=True)
class PlaneFigures:
    """One plane by one encoder: synthetic images, and real ones of other patients, against the held-out ones."""

    plane: str
    synthetic: Closeness
    real: Closeness | None
    vendi_held_out: float


@dataclass(frozen=True)
class EncoderFigures:
    """All that one encoder says.

    Attributes:
        memorisation: None without training images.
        pairs: (synthetic, real) places of the most suspicious pairs, nearest relative to other patients first; real
            ones are counted through the training images, then the held-out ones.
        ratios: of those pairs, distance to the nearest patient over that to the next.
    """

    encoder: str
    planes: tuple[PlaneFigures, ...]
    memorisation: Memorisation | None
    pairs: tuple[tuple[int, int], ...]
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class Sets:
    """Synthetic pictures; real ones of patients who trained nothing; those that trained the generator, where given."""

    synthetic: Pictures
    held_out: Pictures
    train: Pictures | None = None

    def __post_init__(self) -> None:
        if self.train is not None and (both := set(self.train.patients) & set(self.held_out.patients)):
            raise PicturesError(
                f"{len(both)} patients trained the generator and are among the real images, such as {min(both)}: real "
                "images must be of other patients"
            )
        for name, pictures in (("synthetic", self.synthetic), ("real", self.held_out)):
            if len(pictures) < LEAST:
                raise PicturesError(f"{len(pictures)} {name} images: at least {LEAST} are needed")


@dataclass(frozen=True)
class Encoded:
    """The features of `Sets`."""

    synthetic: Features
    held_out: Features
    train: Features | None


def figures(
    sets: Sets, encoded: Encoded, encoder: str, *, pairs: int = 20, draws: int = 9999, seed: int = 0
) -> EncoderFigures:
    """Everything that one encoder's features say."""
    planes = []
    shown = sorted(set(sets.synthetic.planes))
    for plane in ("all", *(shown if len(shown) > 1 else ())):
        found = _plane(plane, sets, encoded, seed)
        if found is not None:
            planes.append(found)
    if sets.train is None or encoded.train is None:
        return EncoderFigures(encoder, tuple(planes), None, (), ())
    real = np.concatenate([encoded.train, encoded.held_out])
    patients = np.concatenate([sets.train.patients, sets.held_out.patients])
    trained = np.arange(len(real)) < len(encoded.train)
    votes = vote(encoded.synthetic, real, patients)
    order = np.argsort(votes.ratio, kind="stable")[:pairs]
    return EncoderFigures(
        encoder,
        tuple(planes),
        memorisation(encoded.synthetic, real, patients, trained, draws=draws, seed=seed),
        tuple((int(place), int(votes.nearest[place])) for place in order),
        tuple(float(votes.ratio[place]) for place in order),
    )


def _plane(plane: str, sets: Sets, encoded: Encoded, seed: int) -> PlaneFigures | None:
    """None where a set has too few images of the plane."""
    synthetic = encoded.synthetic[_is(plane, sets.synthetic)]
    held_out_places = _is(plane, sets.held_out)
    held_out, patients = encoded.held_out[held_out_places], sets.held_out.patients[held_out_places]
    if min(len(synthetic), len(held_out)) < LEAST or len(set(patients)) < 2:
        return None
    limit = suspicious_distance(held_out, patients)
    real = None
    if sets.train is not None and encoded.train is not None:
        train = encoded.train[_is(plane, sets.train)]
        real = _closeness(train, held_out, limit, seed) if len(train) >= LEAST else None
    size = min(len(synthetic), len(held_out))
    vendi = vendi_score(held_out[_some(len(held_out), size, seed)])
    return PlaneFigures(plane, _closeness(synthetic, held_out, limit, seed), real, vendi)


def _is(plane: str, pictures: Pictures) -> Int[np.ndarray, " m"]:
    return np.flatnonzero((pictures.planes == plane) | (plane == "all"))


def _some(count: int, wanted: int, seed: int) -> Int[np.ndarray, " wanted"]:
    return np.sort(np.random.default_rng(seed).permutation(count)[:wanted])


def _closeness(features: Features, held_out: Features, limit: float, seed: int) -> Closeness:
    size = min(len(features), len(held_out))
    ours, theirs = features[_some(len(features), size, seed)], held_out[_some(len(held_out), size, seed)]
    subset = min(SUBSET_SIZE, size)
    value, spread = kid(ours, theirs, subsets=SUBSETS, subset_size=subset, seed=seed)
    own = np.arange(len(features))
    alone, _ = nearest(features, features, groups=(own, own))
    return Closeness(
        n=size,
        subset=subset,
        kid=value,
        kid_sd=spread,
        manifold=manifold(theirs, ours, NEIGHBOURS),
        vendi=vendi_score(ours),
        near_duplicates=float((alone[:, 0] < limit).mean()),
    )


def as_json(found: EncoderFigures) -> dict[str, object]:
    """The figures as plain values."""
    return asdict(found)


def verdicts(found: EncoderFigures) -> list[str]:
    """In words that say no more than the figures do: one line a plane, and one about copies."""
    lines = []
    for plane in found.planes:
        made, real = plane.synthetic, plane.real
        beside = "" if real is None else f" (real images of other patients: {real.kid:.4f} +- {real.kid_sd:.4f})"
        line = f"{plane.plane}: KID {made.kid:.4f} +- {made.kid_sd:.4f}{beside}; recall {made.manifold.recall:.2f}"
        line += "" if real is None else f" ({real.manifold.recall:.2f})"
        lines.append(f"{line}; {made.vendi:.1f} different images of {made.n} ({plane.vendi_held_out:.1f} of real ones)")
    if found.memorisation is not None:
        test = found.memorisation
        found_any = "evidence" if test.p <= 0.05 else "no evidence"
        lines.append(
            f"{found_any} that patients who trained were memorised (p = {test.p:.4f}): {test.bulk.share:.1%} of "
            f"{test.bulk.votes} synthetic images are nearest to one of them ({test.bulk.expected:.1%} by chance, 95 % "
            f"of chance {test.bulk.low:.1%} to {test.bulk.high:.1%}), and of the {test.tail.votes} that are "
            f"suspiciously near {test.tail.share:.1%}"
        )
    return lines
