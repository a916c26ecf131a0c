"""Intervals, and the paired test, for images that are nested in patients.

Images of one patient are not independent, so whole patients ("clusters") are resampled, within sites ("strata").
`clusters` and `strata` are arrays with one name per image. Everything is deterministic given `seed`, and the result
does not depend on the order of the images.

A bootstrap has no width where every draw gives the same value, 12 of 12 right for example, which is no certainty.
Where `span` says between which values one image's contribution to a mean lies (0 and 1 for right or wrong, -1 and 1
for a difference of those), such an interval is widened: at most a share u of images can be otherwise, u being the
Clopper-Pearson bound (1934) at 0 of m, and m the images that count if those of a patient are all alike (as Korn and
Graubard 1998 do, with the least effective sample size). Without `span` it keeps its width of 0, and `reason` says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from fulora.metrics.patient_clusters import Clusters, PerImage, grouped, paired_totals
from fulora.metrics.weighted_scores import Values, Weights

Statistic = Callable[[Int[np.ndarray, " m"]], float]
WeightedStatistic = Callable[[Weights], Values]
Span = tuple[float, float]

RIGHT_OR_WRONG: Span = (0.0, 1.0)
MAX_UNDEFINED_SHARE = 0.05
MIN_DRAWS = 100
BLOCK_WEIGHTS = 2**21  # weights held at once: 16 MiB


class UndefinedScoreError(ValueError):
    """A score has no value on these images, for example the AUC of a class without positives."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval, the images (`n`) and clusters behind it, and the draws that had no value.

    If resampling is impossible (a single patient, a class too rare to be drawn) `low` and `high` are None, and `reason`
    says why. `reason` also says if every draw gave the same value.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    clusters: int
    undefined_draws: int = 0
    reason: str = ""


def weighted_bootstrap(
    statistics: Sequence[WeightedStatistic],
    clusters: Shaped[np.ndarray, " n"],
    *,
    strata: Shaped[np.ndarray, " n"] | None = None,
    draws: int = 2000,
    seed: int,
    level: float = 0.95,
    span: Span | None = None,
) -> Interval:
    """As `cluster_bootstrap`, with all draws at once, for scores that take weights (`fulora.metrics.weighted_scores`).

    One statistic a training seed: their mean is the value, and with two or more the seeds are resampled too, crossed
    with the clusters (one draw's clusters are the same for all its seeds). Sites of few patients get their full
    variance (`Clusters.weights`), which `cluster_bootstrap` understates by one part in as many as a site has patients.
    """
    _check_settings(draws, level)
    if not statistics:
        raise ValueError("weighted_bootstrap got no statistic: give one a training seed")
    layout = _layout(clusters, strata)
    value = _defined(np.mean([statistic(np.ones((1, len(clusters))))[0] for statistic in statistics]))
    if layout.unresampled:
        return _unbounded(value, layout, layout.unresampled)
    rng, block = np.random.default_rng(seed), max(1, BLOCK_WEIGHTS // len(clusters))
    values = np.empty((len(statistics), draws))
    for start in range(0, draws, block):
        weights = layout.weights(rng, min(block, draws - start))
        for row, statistic in zip(values, statistics, strict=True):
            row[start : start + block] = statistic(weights)
    rows = rng.integers(0, len(statistics), (draws, len(statistics)))
    return _interval(value, values[rows, np.arange(draws)[:, None]].mean(axis=1), level, layout, span)


def cluster_bootstrap(
    statistic: Statistic,
    clusters: Shaped[np.ndarray, " n"],
    *,
    strata: Shaped[np.ndarray, " n"] | None = None,
    draws: int = 2000,
    seed: int,
    level: float = 0.95,
    span: Span | None = None,
) -> Interval:
    """Percentile interval of `statistic` from resampling whole clusters within strata (Davison & Hinkley 1997, 3.8).

    `statistic` takes image indices (with repeats) and returns a float. A draw on which it returns NaN or raises
    `UndefinedScoreError` is counted in `undefined_draws` and left out; with more than 5 % of them there is no interval.
    A statistic without a value on the data themselves is an error. A stratum with a single cluster adds no variance.
    """
    _check_settings(draws, level)
    layout = _layout(clusters, strata)
    value = _defined(statistic(np.arange(len(clusters))))
    if layout.unresampled:
        return _unbounded(value, layout, layout.unresampled)
    rng = np.random.default_rng(seed)
    values = np.array([_value_or_nan(statistic, layout.images(layout.pick(rng))) for _ in range(draws)])
    return _interval(value, values, level, layout, span)


def sign_flip_test(
    correct_a: PerImage, correct_b: PerImage, clusters: Shaped[np.ndarray, " n"], *, draws: int = 9999, seed: int
) -> float:
    """Two-sided p of "a and b are equally good": swap a and b in random patients (sign-flip permutation).

    `correct_*` holds right or wrong per image, or any score per image. Statistic: the sum of b - a.
    p = (1 + hits) / (draws + 1), so it is never zero (Phipson & Smyth 2010).
    """
    _check_settings(draws, 0.95)
    totals, _ = paired_totals(correct_a, correct_b, clusters)
    rng = np.random.default_rng(seed)
    threshold = abs(totals.sum()) - 1e-9
    hits = 0
    for start in range(0, draws, 1000):
        flips = rng.integers(0, 2, size=(min(1000, draws - start), len(totals))) * 2 - 1
        hits += int((np.abs(flips @ totals) >= threshold).sum())
    return (1 + hits) / (draws + 1)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion of independent cases (Wilson 1927); blind to clusters."""
    from scipy import stats  # slow to import, and configs import this module

    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"wilson got {successes} successes of {n}; allowed is 0 <= successes <= n with n >= 1")
    _check_settings(MIN_DRAWS, level)
    bounds = stats.binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Interval(successes / n, float(bounds.low), float(bounds.high), n, n)


def _layout(clusters: Shaped[np.ndarray, " n"], strata: Shaped[np.ndarray, " n"] | None) -> Clusters:
    if not len(clusters):
        raise UndefinedScoreError("there is no image to compute a score of")
    return grouped(clusters, strata)


def _defined(value: float | np.floating) -> float:
    if np.isnan(value):
        raise UndefinedScoreError("the statistic is NaN on the data themselves: leave out what has no value")
    return float(value)


def _value_or_nan(statistic: Statistic, images: Int[np.ndarray, " m"]) -> float:
    try:
        return float(statistic(images))
    except UndefinedScoreError:
        return float("nan")


def _unbounded(value: float, layout: Clusters, reason: str, undefined: int = 0) -> Interval:
    return Interval(value, None, None, len(layout.order), len(layout.sizes), undefined, reason)


def _interval(value: float, values: Values, level: float, layout: Clusters, span: Span | None) -> Interval:
    undefined = int(np.isnan(values).sum())
    if undefined > MAX_UNDEFINED_SHARE * len(values):
        reason = f"no interval: a class is so rare that {undefined} of {len(values)} draws had no value"
        return _unbounded(value, layout, reason, undefined)
    values = np.round(values, 12)  # so that a bound of 0 is 0, whatever the order of summing
    low, high = (float(bound) for bound in np.nanpercentile(values, [50 * (1 - level), 50 * (1 + level)]))
    reason = ""
    if np.nanmax(values) == np.nanmin(values):
        low, high, reason = _without_width(value, level, layout.effective_size, span)
    return Interval(value, low, high, len(layout.order), len(layout.sizes), undefined, reason)


def _without_width(value: float, level: float, size: float, span: Span | None) -> tuple[float, float, str]:
    if span is None:
        return value, value, "every draw gives the same value: no width, and no certainty either"
    other = 1 - ((1 - level) / 2) ** (1 / size)
    bounds = value + other * (span[0] - value), value + other * (span[1] - value)
    reason = f"every draw gives the same value: Clopper-Pearson's bounds, a patient counted as one image ({size:.3g})"
    return *bounds, reason


def _check_settings(draws: int, level: float) -> None:
    if draws < MIN_DRAWS:
        raise ValueError(f"draws is {draws}; at least {MIN_DRAWS} are needed (2000 for a published interval)")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1, for example 0.95")
