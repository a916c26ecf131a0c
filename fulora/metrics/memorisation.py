"""Memorisation: whether synthetic images are nearer to training images of their generator than to held-out ones.

Every synthetic image votes for the patient of the real image nearest to it, among training patients (T) and held-out
ones (H). If the generator learned the population but no individual patient, a random division of the same patients
into as many would give T as many votes: patients, not images, are exchanged, because images of a patient are alike, and
few patients make a share of votes vary widely. Two tests: of all votes, and of the tail, the votes of synthetic images
that are nearer to their patient than real images of different patients are to each other.

A test that does not reject is no evidence of memorisation; it is not evidence of privacy.
"""

from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from fulora.metrics.neighbours import Features, nearest

TAIL = 1.0
"""Percentile of the distances among real images of different patients below which a synthetic image is suspicious."""


@dataclass(frozen=True)
class Votes:
    """For each picture, its nearest real image.

    Attributes:
        nearest: place of that image.
        distance: to it.
        ratio: that distance over the distance to the nearest image of another patient, 0 to 1: near 0 for a copy.
    """

    nearest: Int[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]
    ratio: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class VoteTest:
    """Votes for training patients.

    Attributes:
        share: of the votes; `expected` by chance, with its 95 % interval from `low` to `high`.
        p: one-sided, of as many votes for them or more under random divisions of the patients.
        votes, patients: numbers of votes, and of patients that could get one.
    """

    share: float
    expected: float
    low: float
    high: float
    p: float
    votes: int
    patients: int


def vote(
    pictures: Features,
    real: Features,
    patients: Shaped[np.ndarray, " _"],
    *,
    own: Shaped[np.ndarray, " _"] | None = None,
    mirrored: Features | None = None,
) -> Votes:
    """Find the nearest real image of each picture.

    Args:
        patients: of the real images.
        own: the patient of each picture, if it is real itself: images of that patient are left out.
        mirrored: features of the mirrored pictures: the nearer of the two votes.

    Raises:
        ValueError: as `nearest`, or fewer patients than a vote needs: two, or three where pictures are real.
    """
    names, codes = np.unique(patients, return_inverse=True)
    least = 2 if own is None else 3
    if len(patients) != len(real) or len(names) < least:
        raise ValueError(f"{len(real)} images, {len(patients)} names of {len(names)} patients: {least} are needed")
    plain = _vote(pictures, real, codes, own, patients)
    if mirrored is None:
        return plain
    other = _vote(mirrored, real, codes, own, patients)
    nearer = other.distance < plain.distance
    return Votes(*(np.where(nearer, a, b) for a, b in zip(astuple(other), astuple(plain), strict=True)))


def _vote(
    pictures: Features,
    real: Features,
    codes: Int[np.ndarray, " m"],
    own: Shaped[np.ndarray, " _"] | None,
    patients: Shaped[np.ndarray, " m"],
) -> Votes:
    not_own = [] if own is None else [(own, patients)]
    distance, places = (values[:, 0] for values in nearest(pictures, real, apart=not_own))
    others, _ = nearest(pictures, real, apart=[*not_own, (codes[places], codes)])
    ratio = np.divide(distance, others[:, 0], out=np.ones_like(distance), where=others[:, 0] > 0)
    return Votes(places, distance, ratio)


def cross_patient_distance(real: Features, patients: Shaped[np.ndarray, " _"]) -> float:
    """Return the first percentile (`TAIL`) of each real image's distance to the nearest one of another patient."""
    return float(np.percentile(nearest(real, real, apart=[(patients, patients)])[0], TAIL))


def same_patient_distance(real: Features, patients: Shaped[np.ndarray, " _"]) -> float | None:
    """Return the median distance of an image to the nearest other one of its patient; None if no patient has two."""
    distances = []
    for name in np.unique(patients):
        own = real[patients == name]
        if len(own) > 1:
            itself = np.arange(len(own))
            distances += nearest(own, own, apart=[(itself, itself)])[0][:, 0].tolist()
    return float(np.median(distances)) if distances else None


def vote_test(
    nearest_image: Int[np.ndarray, " n"],
    patients: Shaped[np.ndarray, " m"],
    trained: Bool[np.ndarray, " m"],
    *,
    draws: int = 9999,
    seed: int = 0,
) -> VoteTest:
    """Test whether nearest images are of training patients more often than under random divisions of the patients.

    Args:
        nearest_image: place of the real image that each synthetic one votes for.
        patients, trained: of each real image; all images of a patient were trained on, or none.

    Returns:
        p = (1 + hits) / (draws + 1), so never 0 (Phipson and Smyth 2010); 1 where there are no votes.

    Raises:
        ValueError: if a patient is on both sides, or a side has none.
    """
    names, first, codes = np.unique(patients, return_index=True, return_inverse=True)
    side = trained[first]
    if (trained != side[codes]).any():
        mixed = names[codes[trained != side[codes]][0]]
        raise ValueError(f"patient {mixed!s} is a training patient and held out: the sides must be disjoint")
    if side.all() or not side.any():
        raise ValueError(
            f"{int(side.sum())} of {len(side)} patients are training patients: both sides need one or more"
        )
    counts = np.bincount(codes[nearest_image], minlength=len(names)).astype(float)
    total, chosen = counts.sum(), int(side.sum())
    if not total:
        return VoteTest(0.0, chosen / len(names), 0.0, 1.0, 1.0, 0, len(names))
    rng = np.random.default_rng(seed)
    by_chance = np.array([counts[rng.permutation(len(names))[:chosen]].sum() for _ in range(draws)])
    seen = counts[side].sum()
    low, high = np.percentile(by_chance / total, [2.5, 97.5])
    hits = int((by_chance >= seen - 1e-9).sum())
    return VoteTest(
        share=float(seen / total),
        expected=chosen / len(names),
        low=float(low),
        high=float(high),
        p=(1 + hits) / (draws + 1),
        votes=int(total),
        patients=len(names),
    )


@dataclass(frozen=True)
class Memorisation:
    """Both tests, and shares of suspiciously near synthetic images.

    Attributes:
        bulk, tail: of all votes, and of those below the suspicious distance.
        suspicious: that distance.
        share_suspicious, share_expected: of synthetic images below it; of real ones, by definition the percentile.
        below_same_patient: share of synthetic images nearer to a training image than most images are to another one of
            the same patient (and plane, if given so); None if no patient has two images.
        p: of either test rejecting, the lesser one doubled (Bonferroni).
    """

    bulk: VoteTest
    tail: VoteTest
    suspicious: float
    share_suspicious: float
    share_expected: float
    below_same_patient: float | None
    p: float


def memorisation(
    made: Votes,
    among_real: Votes,
    patients: Shaped[np.ndarray, " _"],
    trained: Bool[np.ndarray, " _"],
    *,
    same_patient: float | None = None,
    draws: int = 9999,
    seed: int = 0,
) -> Memorisation:
    """Run both vote tests on one encoder's features.

    Args:
        made: votes of synthetic images.
        among_real: votes of real images, each for another patient than its own.
        patients, trained: of the images that trained the generator and of held-out ones of other patients, drawn from
            the same population at random.
        same_patient: `same_patient_distance` of the real images.
    """
    limit = float(np.percentile(among_real.distance, TAIL))
    near = made.distance < limit
    bulk = vote_test(made.nearest, patients, trained, draws=draws, seed=seed)
    tail = vote_test(made.nearest[near], patients, trained, draws=draws, seed=seed)
    below = None if same_patient is None else float((trained[made.nearest] & (made.distance < same_patient)).mean())
    return Memorisation(
        bulk=bulk,
        tail=tail,
        suspicious=limit,
        share_suspicious=float(near.mean()),
        share_expected=TAIL / 100,
        below_same_patient=below,
        p=min(1.0, 2 * min(bulk.p, tail.p)),
    )
