"""Answers of two models on a cohort like the African one: images of patients of five countries (Sendra-Balcells 2023).

python clustered_cohort.py 2000     how often tests reject and intervals cover, over so many cohorts
"""

import sys
from functools import partial

import numpy as np
from scipy import stats

from fulora.metrics import weighted_scores
from fulora.metrics.paired_tests import clustered_mcnemar
from fulora.metrics.statistics import sign_flip_test, weighted_bootstrap

PLANES_OF_A_PATIENT = {"DZA": 4, "EGY": 4, "MWI": 4, "GHA": 3, "UGA": 3}
SIZES = np.repeat(list(PLANES_OF_A_PATIENT.values()), 25)
COUNTRIES = np.repeat(np.repeat(list(PLANES_OF_A_PATIENT), 25), SIZES)
PATIENTS = np.repeat(np.arange(len(SIZES)), SIZES)
"""125 patients; 450 images."""


def right_answers(
    rng: np.random.Generator, accuracies: tuple[float, float], *, patient: float, interaction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong of models a and b on each image: a probit model with these marginal accuracies.

    `patient` is the share of the latent variance that is the patient's and common to both models, `interaction` the
    share that is the patient's under each model. Half of the rest is the image's, half is noise.
    """
    rest = (1 - patient - interaction) / 2
    common = rng.normal(size=len(SIZES)) * np.sqrt(patient)
    image = rng.normal(size=len(PATIENTS)) * np.sqrt(rest)
    of_model = rng.normal(size=(2, len(SIZES))) * np.sqrt(interaction)
    noise = rng.normal(size=(2, len(PATIENTS))) * np.sqrt(rest)
    latent = (common + of_model)[:, PATIENTS] + image + noise
    a, b = latent < stats.norm.ppf(accuracies)[:, None]
    return a, b


def rates(cohorts: int, seed: int, *, patient: float, interaction: float, draws: int) -> dict[str, float]:
    """Share of cohorts without a true difference (both right on 75 %) where tests reject at 5 %, intervals cover."""
    rng, hits = (
        np.random.default_rng(seed),
        dict.fromkeys(
            ("sign flip", "Durkalski", "Obuchowski", "Yang", "McNemar", "accuracy covered", "difference covered"), 0
        ),
    )
    for number in range(cohorts):
        a, b = right_answers(rng, (0.75, 0.75), patient=patient, interaction=interaction)
        tests = clustered_mcnemar(a, b, PATIENTS)
        gained, lost = int((b & ~a).sum()), int((a & ~b).sum())
        hits["sign flip"] += sign_flip_test(a, b, PATIENTS, draws=draws - 1, seed=number) <= 0.05
        hits["Durkalski"] += tests.p_durkalski <= 0.05
        hits["Obuchowski"] += tests.p_obuchowski <= 0.05
        hits["Yang"] += tests.p_yang <= 0.05
        hits["McNemar"] += stats.binomtest(gained, gained + lost).pvalue <= 0.05
        for name, truth, values in (("accuracy", 0.75, b), ("difference", 0.0, b.astype(float) - a)):
            mean = partial(weighted_scores.mean, values)
            found = weighted_bootstrap([mean], PATIENTS, strata=COUNTRIES, draws=draws, seed=number)
            assert found.low is not None
            assert found.high is not None
            hits[f"{name} covered"] += found.low <= truth <= found.high
    return {name: count / cohorts for name, count in hits.items()}


if __name__ == "__main__":
    for shares in ((0.5, 0.0), (0.3, 0.15), (0.2, 0.4)):
        found = rates(int(sys.argv[1]), 1, patient=shares[0], interaction=shares[1], draws=2000)
        print(f"patient {shares[0]}, interaction {shares[1]}:", {name: round(rate, 4) for name, rate in found.items()})
