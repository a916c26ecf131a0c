"""Tests of "a and b are equally good" on the same images, nested in patients, beside `statistics.sign_flip_test`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from fulora.metrics.patient_clusters import PerImage, grouped, paired_totals
from fulora.metrics.statistics import WeightedStatistic

BLOCK_DRAWS = 500
LEAST_SEEDS = 3


@dataclass(frozen=True)
class ClusteredMcNemar:
    """Accuracy of b minus accuracy of a, and the two-sided p-values of three tests (see `clustered_mcnemar`)."""

    difference: float
    p_durkalski: float
    p_obuchowski: float
    p_yang: float
    clusters: int


def clustered_mcnemar(correct_a: PerImage, correct_b: PerImage, clusters: Shaped[np.ndarray, " n"]) -> ClusteredMcNemar:
    """McNemar's test for images nested in patients; all are chi-square tests with one degree of freedom.

    With t_k the sum of b - a over the n_k images of patient k, of K patients:
    Durkalski et al. 2003: (sum t_k / n_k)^2 / sum (t_k / n_k)^2, where each patient counts alike;
    Obuchowski 1998: (K - 1) / K (sum t_k)^2 / sum t_k^2, where each image does;
    Yang et al. 2010, the modified Obuchowski: the same without (K - 1) / K.
    With one image a patient, Durkalski's and Yang's are McNemar's test without continuity correction.

    Raises:
        ValueError: arrays of different length, or fewer than 2 patients.
    """
    from scipy import stats  # slow to import, and configs import this module

    totals, sizes = paired_totals(correct_a, correct_b, clusters)
    k = len(totals)
    yang = _chi_square(totals)
    return ClusteredMcNemar(
        difference=float(totals.sum() / sizes.sum()),
        p_durkalski=float(stats.chi2.sf(_chi_square(totals / sizes), 1)),
        p_obuchowski=float(stats.chi2.sf((k - 1) / k * yang, 1)),
        p_yang=float(stats.chi2.sf(yang, 1)),
        clusters=k,
    )


def swap_test(
    statistics: Sequence[WeightedStatistic], clusters: Shaped[np.ndarray, " n"], *, draws: int = 9999, seed: int
) -> float:
    """Two-sided p of "a and b are equally good" for any score, macro F1 or AUC: swap the answers of random patients.

    Args:
        statistics: one a training seed, whose mean is tested. Each takes weights (draws, 2 n) of the answers of a on
            the n images followed by those of b, and gives a score a draw (`fulora.metrics.weighted_scores`).
        clusters: the patient of each of the n images.

    Returns:
        (1 + hits) / (draws + 1): under the hypothesis any swap of whole patients is as likely as what was seen.

    Raises:
        ValueError: no draws, no statistic, or fewer than 2 patients.
    """
    found = grouped(clusters)
    if draws < 1 or not statistics or len(found.sizes) < 2:
        raise ValueError(
            f"swap_test got {draws} draws, {len(statistics)} statistics, {len(found.sizes)} patients; "
            "it needs 1 draw, 1 statistic and 2 patients or more"
        )

    def gain(from_b: Float[np.ndarray, "draws n"]) -> Float[np.ndarray, " draws"]:
        first, second = np.hstack([1 - from_b, from_b]), np.hstack([from_b, 1 - from_b])
        return np.asarray(np.mean([of(second) - of(first) for of in statistics], axis=0))

    threshold = abs(gain(np.zeros((1, len(clusters))))[0]) - 1e-9
    rng, hits = np.random.default_rng(seed), 0
    for start in range(0, draws, BLOCK_DRAWS):
        swapped = rng.integers(0, 2, size=(min(BLOCK_DRAWS, draws - start), len(found.sizes))).astype(float)
        hits += int((np.abs(gain(swapped[:, found.codes])) >= threshold).sum())
    return (1 + hits) / (draws + 1)


def seeds_test(gains: Sequence[float]) -> float | None:
    """Two-sided p of a paired t test over training seeds; None for fewer than three, or where all gains are equal.

    Args:
        gains: of each seed, the score of one model minus that of the other.
    """
    if len(gains) < LEAST_SEEDS or len(set(gains)) == 1:
        return None
    from scipy import stats  # slow to import, and configs import this module

    return float(stats.ttest_1samp(gains, 0.0).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for how many there are (Holm 1979, by statsmodels), in the given order.

    Raises:
        ValueError: a p-value outside 0..1.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values are {list(p_values)}; each must lie in 0..1")
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def _chi_square(per_patient: Float[np.ndarray, " k"]) -> float:
    """(sum)^2 / sum of squares; 0 where no image tells a from b."""
    squares = float((per_patient**2).sum())
    return float(per_patient.sum() ** 2 / squares) if squares > 0 else 0.0
