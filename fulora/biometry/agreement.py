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


def agreement(pairs: Sequence[tuple[float | None, float]]) -> AgreementStatistics | None:
    """Return the agreement of (measured, reference) pairs; None if fewer than two are measured.

    A measured None is a failure and has no difference. Standard deviations have n - 1 degrees of freedom.

    Raises:
        ValueError: if a number is not finite, or a reference is 0 or less.
    """
    measured = [(value, truth) for value, truth in pairs if value is not None]
    if len(measured) < 2:
        return None
    values, truths = np.array(measured, dtype=float).T
    if not (np.isfinite(values).all() and np.isfinite(truths).all() and (truths > 0).all()):
        raise ValueError("agreement needs finite values and references above 0; give None for what failed")
    differences = values - truths
    bias, sd, absolute = float(differences.mean()), float(differences.std(ddof=1)), np.abs(differences)
    return AgreementStatistics(
        n=len(pairs),
        failures=len(pairs) - len(measured),
        bias=bias,
        sd=sd,
        low=bias - 1.96 * sd,
        high=bias + 1.96 * sd,
        adf=float(absolute.mean()),
        adf_sd=float(absolute.std(ddof=1)),
        relative_adf=float((absolute / truths).mean()),
    )
