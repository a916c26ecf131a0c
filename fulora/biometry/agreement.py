"""How far measurements agree with references: bias, limits of agreement, absolute difference, failures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AgreementStatistics:
    """Measured minus reference, in the unit of both; `n` images, of which `failures` have no measurement.

    Attributes:
        bias: the mean difference (DF), with its standard deviation `sd`.
        low, high: limits of agreement, bias -+ 1.96 sd (Bland and Altman, Lancet 1986; 327: 307-310).
        adf: the mean absolute difference, with its standard deviation `adf_sd`.
        relative_adf: the mean of |difference| / reference, 0..1.
    """

    n: int
    failures: int
    bias: float
    sd: float
    low: float
    high: float
    adf: float
    adf_sd: float
    relative_adf: float


def agreement_of_pairs(pairs: Sequence[tuple[float | None, float]]) -> AgreementStatistics | None:
    """Return the agreement of (measured, reference) pairs; None if fewer than two are measured."""
    if sum(value is not None for value, _ in pairs) < 2:
        return None
    return agreement([value for value, _ in pairs], [reference for _, reference in pairs])


def agreement(measured: Sequence[float | None], reference: Sequence[float]) -> AgreementStatistics:
    """Agreement of pairs; None is a measurement that failed. It counts as a failure and has no difference.

    Standard deviations have n - 1 degrees of freedom.

    Raises:
        ValueError: sequences of different length, a number that is not finite, a reference of 0 or less, or fewer than
            two measured pairs.
    """
    if len(measured) != len(reference):
        raise ValueError(f"{len(measured)} measured values and {len(reference)} references; agreement needs pairs")
    pairs = [(value, truth) for value, truth in zip(measured, reference, strict=True) if value is not None]
    if len(pairs) < 2:
        raise ValueError(f"{len(pairs)} of {len(reference)} images are measured; agreement needs two or more")
    values, truths = np.array(pairs, dtype=float).T
    if not (np.isfinite(values).all() and np.isfinite(truths).all() and (truths > 0).all()):
        raise ValueError("agreement needs finite values and references above 0; give None for what failed")
    differences = values - truths
    bias, sd, absolute = float(differences.mean()), float(differences.std(ddof=1)), np.abs(differences)
    return AgreementStatistics(
        n=len(reference),
        failures=len(reference) - len(pairs),
        bias=bias,
        sd=sd,
        low=bias - 1.96 * sd,
        high=bias + 1.96 * sd,
        adf=float(absolute.mean()),
        adf_sd=float(absolute.std(ddof=1)),
        relative_adf=float((absolute / truths).mean()),
    )
