"""Tests reject and intervals cover as often as they say, on cohorts of 125 patients without a true difference.

The true rate is asked to lie in 3.5 to 6.5 % (intervals: 93 to 97 %). The full simulation shows that over 2,000
cohorts: `python clustered_cohort.py 2000`. Here are fewer, with limits that a rate inside that band leaves less than
once in 1,000 runs, by the binomial distribution.
"""

import pytest
from clustered_cohort import rates
from scipy import stats

COHORTS = 300
CHANCE = 1e-3


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    """Strong patient effects: 20 % of the latent variance is the patient's, 40 % the patient's under one model."""
    return rates(COHORTS, 1, patient=0.2, interaction=0.4, draws=600)


def limits(lowest: float, highest: float) -> tuple[float, float]:
    low, high = (stats.binom(COHORTS, rate) for rate in (lowest, highest))
    return low.ppf(CHANCE / 2) / COHORTS, high.isf(CHANCE / 2) / COHORTS


@pytest.mark.slow
@pytest.mark.parametrize("test", ["sign flip", "Durkalski", "Obuchowski", "Yang"])
def test_clustered_tests_reject_as_often_as_they_say(found: dict[str, float], test: str) -> None:
    low, high = limits(0.035, 0.065)
    assert low <= found[test] <= high


@pytest.mark.slow
def test_mcnemars_test_that_ignores_patients_rejects_too_often(found: dict[str, float]) -> None:
    assert found["McNemar"] > limits(0.035, 0.065)[1]


@pytest.mark.parametrize("interval", ["accuracy covered", "difference covered"])
def test_intervals_cover_as_often_as_they_say(found: dict[str, float], interval: str) -> None:
    low, high = limits(0.93, 0.97)
    assert low <= found[interval] <= high
