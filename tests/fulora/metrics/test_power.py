"""Power by the formula against simulated cohorts, and its limits."""

import numpy as np
import pytest
from clustered_cohort import PATIENTS, SIZES, right_answers
from scipy import stats

from fulora.metrics import power as p
from fulora.metrics.statistics import sign_flip_test

COHORTS = 250


def pooled_variation(accuracies: tuple[float, float], patient: float, interaction: float) -> p.PairedVariation:
    """Of 200 cohorts put together, each patient apart: what a design knows of its models."""
    rng = np.random.default_rng(7)
    pairs = [right_answers(rng, accuracies, patient=patient, interaction=interaction) for _ in range(200)]
    a, b = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    patients = np.concatenate([PATIENTS + len(SIZES) * number for number in range(200)])
    return p.paired_variation(a, b, patients)


@pytest.mark.slow
@pytest.mark.parametrize(("accuracies", "patient", "interaction"), [((0.75, 0.82), 0.2, 0.4), ((0.75, 0.80), 0.3, 0.0)])
def test_the_formula_agrees_with_simulated_cohorts(
    accuracies: tuple[float, float], patient: float, interaction: float
) -> None:
    """Within what the binomial distribution of 250 cohorts gives once in 1,000 times, and 3 points."""
    said = p.paired_power(accuracies[1] - accuracies[0], pooled_variation(accuracies, patient, interaction), SIZES)
    rng = np.random.default_rng(8)
    found = 0
    for number in range(COHORTS):
        a, b = right_answers(rng, accuracies, patient=patient, interaction=interaction)
        found += sign_flip_test(a, b, PATIENTS, draws=999, seed=number) <= 0.05
    low, high = stats.binom(COHORTS, said).interval(0.999)
    assert low - 0.03 * COHORTS <= found <= high + 0.03 * COHORTS
    assert 0.3 < said < 0.9


def test_single_images_give_the_textbook_formula() -> None:
    """McNemar's test of n pairs: z = |d| sqrt(n) / sqrt(discordant - d^2) (Miettinen 1968)."""
    variation, sizes = p.PairedVariation(0.2, 0.0), np.ones(400, dtype=int)
    effect = 0.07 * np.sqrt(400) / np.sqrt(0.2 - 0.07**2)
    expected = stats.norm.sf(1.959964 - effect) + stats.norm.sf(1.959964 + effect)
    assert p.paired_power(0.07, variation, sizes) == pytest.approx(expected, abs=1e-6)
    assert p.paired_power(-0.07, variation, sizes) == p.paired_power(0.07, variation, sizes)
    assert p.paired_power(0.0, variation, sizes) == pytest.approx(0.05)


def test_alike_images_of_a_patient_count_as_one() -> None:
    alike, single = p.PairedVariation(0.2, 1.0), p.PairedVariation(0.2, 0.0)
    of_patients = p.paired_power(0.07, alike, np.full(100, 4))
    assert of_patients == pytest.approx(p.paired_power(0.07, single, np.ones(100, dtype=int)))
    assert p.paired_power(0.07, single, np.full(100, 4)) > of_patients


def test_the_detectable_difference_has_that_power() -> None:
    variation = p.PairedVariation(0.25, 0.3)
    least = p.detectable_difference(variation, SIZES, power=0.8)
    assert p.paired_power(least, variation, SIZES) == pytest.approx(0.8)
    assert least < p.detectable_difference(variation, SIZES[:60], power=0.8)
    same = p.detectable_difference(p.PairedVariation(0.0, 0.0), SIZES)
    assert 0 < same < 0.05  # models that never differed: the least difference makes its own discordance


def test_variation_is_found_by_moments() -> None:
    """Patients with all images gained, all lost, or none: the differences within a patient are alike."""
    patients = np.repeat(np.arange(6), 4)
    difference = np.repeat([1.0, -1.0, 0.0, 0.0, 1.0, -1.0], 4)
    found = p.paired_variation(np.maximum(-difference, 0), np.maximum(difference, 0), patients)
    assert found.discordant == pytest.approx(4 / 6)
    assert found.correlation == pytest.approx(1.0)
    single = p.paired_variation(np.array([True, False, True]), np.array([False, True, True]), np.arange(3))
    assert (single.discordant, single.correlation) == (pytest.approx(2 / 3), 0.0)


def test_bad_input_is_named() -> None:
    variation = p.PairedVariation(0.1, 0.2)
    with pytest.raises(ValueError, match=r"difference is 0\.2 but a and b differ on 0\.1"):
        p.paired_power(0.2, variation, SIZES)
    with pytest.raises(ValueError, match="alpha is 5"):
        p.paired_power(0.05, variation, SIZES, alpha=5.0)
    with pytest.raises(ValueError, match=r"power is 0\.01; it must lie between alpha"):
        p.detectable_difference(variation, SIZES, power=0.01)
    with pytest.raises(ValueError, match="needs 2 clusters or more, got 1"):
        p.paired_variation(np.ones(2), np.ones(2), np.zeros(2))


def test_patients_whose_differences_cancel_leave_nothing_to_detect() -> None:
    """Each patient has one image that only a gets right and one that only b does: the sum never varies."""
    first, second = np.tile([1.0, 0.0], 10), np.tile([0.0, 1.0], 10)
    variation = p.paired_variation(first, second, np.repeat(np.arange(10), 2))
    assert variation == p.PairedVariation(1.0, -1.0)
    assert p.detectable_difference(variation, np.full(10, 2)) == 0.0
