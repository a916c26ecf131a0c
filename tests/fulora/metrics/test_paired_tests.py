"""Clustered tests of two models: against full formulas, enumeration, statsmodels, and the reference script."""

import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from clustered_cohort import PATIENTS, right_answers
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from fulora.metrics import paired_tests as p
from fulora.metrics import weighted_scores
from fulora.metrics.classification import macro_f1
from fulora.metrics.statistics import sign_flip_test


def test_with_one_image_a_patient_all_are_mcnemars_test() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.random(300) < 0.7, rng.random(300) < 0.78
    found = p.clustered_mcnemar(a, b, np.arange(300))
    table = np.array([[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]])
    plain = mcnemar(table, exact=False, correction=False)
    assert found.p_durkalski == pytest.approx(plain.pvalue)
    assert found.p_yang == pytest.approx(plain.pvalue)
    assert found.p_obuchowski == pytest.approx(stats.chi2.sf(299 / 300 * plain.statistic, 1))
    assert found.difference == pytest.approx(b.mean() - a.mean())
    assert found.clusters == 300


def test_obuchowski_is_the_variance_formula_of_her_paper() -> None:
    """Proportions with the pooled rate: var(p1) + var(p2) - 2 cov, each K / (K - 1) / N^2 times a sum of products."""
    a, b = right_answers(np.random.default_rng(1), (0.7, 0.8), patient=0.3, interaction=0.2)
    x, y = (np.bincount(PATIENTS, weights=right) for right in (a, b))
    n, k = np.bincount(PATIENTS), len(x)
    pooled = (x.sum() + y.sum()) / (2 * n.sum())
    first, second = x - n * pooled, y - n * pooled
    variance = k / (k - 1) / n.sum() ** 2 * (first @ first + second @ second - 2 * first @ second)
    statistic = ((x.sum() - y.sum()) / n.sum()) ** 2 / variance
    assert p.clustered_mcnemar(a, b, PATIENTS).p_obuchowski == pytest.approx(stats.chi2.sf(statistic, 1))


def test_durkalski_weighs_patients_alike() -> None:
    """Differences of 2/2, 0/4 and 1/4 by hand: (1 + 0 + 1/4)^2 / (1 + 0 + 1/16)."""
    patients = np.repeat([0, 1, 2], [2, 4, 4])
    b = np.array([1, 1, 0, 0, 0, 0, 1, 0, 0, 0], dtype=bool)
    found = p.clustered_mcnemar(np.zeros(10, dtype=bool), b, patients)
    assert found.p_durkalski == pytest.approx(stats.chi2.sf(1.25**2 / (1 + 1 / 16), 1))
    assert found.p_yang == pytest.approx(stats.chi2.sf(3**2 / (2**2 + 1), 1))


def test_identical_models_give_one() -> None:
    right, patients = np.array([True, False, True, True]), np.array([0, 0, 1, 1])
    found = p.clustered_mcnemar(right, right, patients)
    assert (found.difference, found.p_durkalski, found.p_obuchowski, found.p_yang) == (0.0, 1.0, 1.0, 1.0)


@pytest.fixture
def reference() -> ModuleType:
    """The reference script beside the repository; skipped where it is not there."""
    pytest.importorskip("pandas")
    file = Path(__file__).parents[4] / "shared" / "examples" / "clustered_statistics.py"
    if not file.is_file():
        pytest.skip("no reference script: ../shared/examples is not there")
    spec = importlib.util.spec_from_file_location("clustered_statistics", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_reference_script_agrees(reference: ModuleType) -> None:
    """What it calls Durkalski's is Yang's statistic; its permutations are drawn otherwise, so those agree about."""
    cohort = reference.simulate(np.random.default_rng(1))
    codes = {name: number for number, name in enumerate((*reference.PLANES, "other"))}
    true, a, b = (cohort[column].map(codes).to_numpy() for column in ("y", "a", "b"))
    patients = cohort.patient.to_numpy(dtype=str)
    theirs, ours = reference.obuchowski(cohort), p.clustered_mcnemar(a == true, b == true, patients)
    assert ours.difference == pytest.approx(theirs["diff"])
    assert ours.p_yang == pytest.approx(theirs["p_null"])
    flip = sign_flip_test(a == true, b == true, patients, seed=0)
    assert flip == pytest.approx(reference.signflip(cohort), abs=0.015)
    _, swapped = reference.permuted_f1(cohort, n=300)
    labels = list(range(4))

    def f1(weights: np.ndarray) -> np.ndarray:
        return weighted_scores.tallies(np.tile(true, 2), np.concatenate([a, b]), labels, weights).f1.mean(axis=1)

    error = 4 * np.sqrt(swapped * (1 - swapped) / 300 + 1e-4)
    assert p.swap_test([f1], patients, draws=3000, seed=0) == pytest.approx(swapped, abs=error)


def test_the_swap_test_enumerates_like_brute_force() -> None:
    rng = np.random.default_rng(4)
    patients, true = np.repeat(np.arange(7), 4), np.tile([0, 1, 2, 0], 7)
    a, b = (np.where(rng.random(28) < rate, true, rng.integers(0, 4, 28)) for rate in (0.4, 0.7))

    def f1(weights: np.ndarray) -> np.ndarray:
        return weighted_scores.tallies(np.tile(true, 2), np.concatenate([a, b]), [0, 1, 2], weights).f1.mean(axis=1)

    def gain(swap: np.ndarray) -> float:
        first, second = np.where(swap, b, a), np.where(swap, a, b)
        return macro_f1(true, second, [0, 1, 2]) - macro_f1(true, first, [0, 1, 2])

    every = [gain(np.array(swap)[patients]) for swap in itertools.product([False, True], repeat=7)]
    exact = np.mean(np.abs(every) >= abs(gain(np.zeros(28, dtype=bool))) - 1e-9)
    assert p.swap_test([f1], patients, draws=20_000, seed=0) == pytest.approx(exact, abs=0.012)
    assert p.swap_test([f1, f1], patients, draws=2000, seed=0) == p.swap_test([f1], patients, draws=2000, seed=0)


def test_the_swap_test_of_a_mean_is_the_sign_flip_test() -> None:
    a, b = right_answers(np.random.default_rng(2), (0.75, 0.82), patient=0.3, interaction=0.2)

    def accuracy(weights: np.ndarray) -> np.ndarray:
        return weighted_scores.mean(np.concatenate([a, b]), weights)

    swapped = p.swap_test([accuracy], PATIENTS, draws=9999, seed=0)
    assert swapped == pytest.approx(sign_flip_test(a, b, PATIENTS, seed=1), abs=0.01)


def test_holm_by_hand() -> None:
    assert p.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert p.holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert p.holm([]) == []


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"each must lie in 0\.\.1"):
        p.holm([0.2, 1.4])
    with pytest.raises(ValueError, match="swap_test got 10 draws, 0 statistics, 2 patients"):
        p.swap_test([], np.array([0, 1]), draws=10, seed=0)
    with pytest.raises(ValueError, match="needs 2 clusters or more, got 1"):
        p.clustered_mcnemar(np.ones(2, dtype=bool), np.ones(2, dtype=bool), np.zeros(2))
