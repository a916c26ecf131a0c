"""What a paired comparison on given patients can find: the power of the clustered McNemar and sign-flip tests.

Let d = b - a be -1, 0 or 1 on an image: 0 where both models are right or both wrong. Its variance is
s^2 = discordant - difference^2, and `correlation` is how alike the d of two images of one patient are. Then the sum
over a patient's n_k images has the variance n_k s^2 (1 + (n_k - 1) correlation), and the mean difference is about
normal. Tests hold the formula to simulations of the African design.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped
from scipy import stats
from scipy.optimize import brentq

from fulora.metrics.patient_clusters import PerImage, paired_totals


@dataclass(frozen=True)
class PairedVariation:
    """Share of images where a and b differ (0..1), and the correlation of b - a within a patient (-1..1)."""

    discordant: float
    correlation: float


def paired_variation(correct_a: PerImage, correct_b: PerImage, clusters: Shaped[np.ndarray, " n"]) -> PairedVariation:
    """The variation of a pilot comparison, by moments; the correlation is 0 where no patient has two images.

    Raises:
        ValueError: arrays of different length, or fewer than 2 patients.
    """
    totals, sizes = paired_totals(correct_a, correct_b, clusters)
    difference = totals.sum() / sizes.sum()
    squares = float(((correct_b.astype(float) - correct_a.astype(float)) ** 2).mean())
    variance, pairs = squares - difference**2, float((sizes * (sizes - 1)).sum())
    if variance < 1e-12 or pairs == 0:
        return PairedVariation(squares, 0.0)
    between = ((totals - sizes * difference) ** 2).sum() / variance
    return PairedVariation(squares, float(np.clip((between - sizes.sum()) / pairs, -1, 1)))


def paired_power(
    difference: float, variation: PairedVariation, sizes: Int[np.ndarray, " k"], *, alpha: float = 0.05
) -> float:
    """Chance 0..1 that a two-sided test at `alpha` finds a true difference of accuracy.

    Args:
        difference: accuracy of b minus that of a, -1..1.
        sizes: images of every patient.

    Raises:
        ValueError: a difference larger than the share of images on which the models differ, or alpha outside 0..1.
    """
    if abs(difference) > variation.discordant + 1e-12:
        raise ValueError(
            f"difference is {difference:g} but a and b differ on {variation.discordant:g} of the images: "
            "they must differ on at least that many"
        )
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; it must lie between 0 and 1, for example 0.05")
    variance = max(variation.discordant - difference**2, 0.0)
    spread = (sizes * np.maximum(1 + (sizes - 1) * variation.correlation, 0)).sum() * variance
    if spread == 0:
        return float(difference != 0)
    effect, critical = abs(difference) * sizes.sum() / np.sqrt(spread), stats.norm.isf(alpha / 2)
    return float(stats.norm.sf(critical - effect) + stats.norm.sf(critical + effect))


def detectable_difference(
    variation: PairedVariation, sizes: Int[np.ndarray, " k"], *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Least true difference of accuracy that is found with `power`, 0..1; 0 where the pilot's patients do not vary.

    The models are taken to differ on as many images as in `variation`, or on as many as the difference demands.

    Raises:
        ValueError: a power outside alpha..1.
    """
    if not alpha < power < 1:
        raise ValueError(f"power is {power}; it must lie between alpha ({alpha}) and 1, for example 0.8")

    def excess(difference: float) -> float:
        needed = PairedVariation(max(variation.discordant, difference), variation.correlation)
        return paired_power(difference, needed, sizes, alpha=alpha) - power

    least = 1e-9
    return 0.0 if excess(least) > 0 else float(brentq(excess, least, 1.0))
