"""Memorisation: the level of the test in simulation, planted copies, and what it refuses."""

import numpy as np
import pytest

from fulora.metrics.memorisation import (
    Memorisation,
    cross_patient_distance,
    memorisation,
    same_patient_distance,
    vote,
    vote_test,
)

D = 16


def cohort(
    rng: np.random.Generator, people: int, images: int = 2, spread: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Images of patients who differ, and of whom each has images that are alike."""
    centres = rng.standard_normal((people, D))
    features = np.repeat(centres, images, axis=0) + spread * rng.standard_normal((people * images, D))
    return features, np.repeat(np.arange(people), images)


def generated(rng: np.random.Generator, count: int) -> np.ndarray:
    """What a generator that learned the population and nobody in it would make."""
    return rng.standard_normal((count, D)) * np.sqrt(1 + 0.5**2)


def found_of(
    synthetic: np.ndarray, real: np.ndarray, patients: np.ndarray, trained: np.ndarray, *, draws: int, seed: int = 0
) -> Memorisation:
    among_real = vote(real, real, patients, own=patients)
    usual = same_patient_distance(real, patients)
    made = vote(synthetic, real, patients)
    return memorisation(made, among_real, patients, trained, same_patient=usual, draws=draws, seed=seed)


@pytest.mark.slow
def test_it_rejects_as_often_as_it_says_where_nothing_was_memorised() -> None:
    """A nominal 5 %: bulk and tail, 400 cohorts of 30 patients who trained and 20 held out."""
    rejected = {"bulk": 0, "either": 0}
    trials = 400
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        real, patients = cohort(rng, 50)
        found = found_of(generated(rng, 100), real, patients, patients < 30, draws=199, seed=trial)
        rejected["bulk"] += found.bulk.p <= 0.05
        rejected["either"] += found.p <= 0.05
    assert 0.03 <= rejected["bulk"] / trials <= 0.07
    assert rejected["either"] / trials <= 0.07


@pytest.mark.slow
def test_a_test_that_exchanges_images_would_reject_too_often() -> None:
    """Why patients are exchanged: with one patient an image, the same cohorts reject far more often than 5 %."""
    rejected = 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        real, patients = cohort(rng, 20, images=10, spread=0.1)
        votes = vote(generated(rng, 300), real, patients)
        alone = np.arange(len(real))
        rejected += vote_test(votes.nearest, alone, patients < 10, draws=199, seed=trial).p <= 0.05
    assert rejected > 15


@pytest.mark.slow
@pytest.mark.parametrize(("share", "least_power"), [(0.01, 0.2), (0.02, 0.6), (0.05, 0.9), (0.2, 1.0)])
def test_planted_copies_are_found(share: float, least_power: float) -> None:
    """So many of 1,000 synthetic images are slightly changed copies of images of 50 patients who trained, of 100.

    Power in 20 cohorts when this was written: 0.4, 0.8, 1, 1.
    """
    found = 0
    for trial in range(20):
        rng = np.random.default_rng(trial)
        real, patients = cohort(rng, 100)
        synthetic, trained = generated(rng, 1000), patients < 50
        copied = rng.choice(np.flatnonzero(trained), round(share * 1000))
        synthetic[: len(copied)] = real[copied] + 0.05 * rng.standard_normal((len(copied), D))
        result = found_of(synthetic, real, patients, trained, draws=499, seed=trial)
        found += result.p <= 0.05
        assert result.share_suspicious >= share
        assert result.below_same_patient is not None
        assert result.below_same_patient >= share
    assert found / 20 >= least_power


def test_copies_of_held_out_patients_are_no_memorisation() -> None:
    rng = np.random.default_rng(0)
    real, patients = cohort(rng, 40)
    synthetic = real[patients >= 20] + 0.01
    found = found_of(synthetic, real, patients, patients < 20, draws=499)
    assert found.bulk.share == 0
    assert found.p == 1.0


def test_votes_say_how_near_and_how_much_nearer() -> None:
    real = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0]])
    votes = vote(np.array([[0.1, 0.0], [9.0, 0.0]]), real, np.array(["a", "a", "b"]))
    assert votes.nearest.tolist() == [0, 2]
    assert votes.distance == pytest.approx([0.1, 1.0])
    assert votes.ratio == pytest.approx([0.1 / 9.9, 1.0 / 8.0])


def test_neighbours_of_the_same_patient_are_excluded() -> None:
    real = np.array([[0.0], [1.0], [5.0], [9.0]])
    patients = np.array(["a", "a", "b", "c"])
    votes = vote(real, real, patients, own=patients)
    assert votes.nearest.tolist() == [2, 2, 1, 2]
    assert votes.distance == pytest.approx([5, 4, 4, 4])
    assert votes.ratio == pytest.approx([5 / 9, 4 / 8, 1.0, 4 / 8])


def test_the_nearer_of_a_picture_and_its_mirror_image_votes() -> None:
    real, patients = np.array([[0.0, 0.0], [4.0, 0.0], [9.0, 0.0]]), np.arange(3)
    votes = vote(np.array([[3.0, 0.0]]), real, patients, mirrored=np.array([[0.0, 0.1]]))
    assert (votes.nearest[0], votes.distance[0]) == (0, pytest.approx(0.1))


def test_distances_among_real_images() -> None:
    real = np.array([[0.0], [1.0], [5.0], [9.0]])
    patients = np.array(["a", "a", "b", "c"])
    assert cross_patient_distance(real, patients) == 4.0
    assert same_patient_distance(real, patients) == 1.0
    assert same_patient_distance(real, np.arange(4)) is None


def test_what_cannot_be_compared_is_refused() -> None:
    real, patients = cohort(np.random.default_rng(0), 4)
    with pytest.raises(ValueError, match="patient 0 is a training patient and held out"):
        vote_test(np.array([0]), patients, np.arange(8) < 1)
    with pytest.raises(ValueError, match="0 of 4 patients are training patients"):
        vote_test(np.array([0]), patients, np.zeros(8, bool))
    with pytest.raises(ValueError, match="3 are needed"):
        vote(real, real, patients > 1, own=patients > 1)
    with pytest.raises(ValueError, match="2 are needed"):
        vote(real, real, np.zeros(8))
    none = vote_test(np.zeros(0, np.int64), patients, patients < 2)
    assert (none.p, none.votes) == (1.0, 0)
