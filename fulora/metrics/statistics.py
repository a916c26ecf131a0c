"""Intervals and tests for images that are nested in patients.

Images of one patient are not independent, so whole patients ("clusters") are resampled, within sites ("strata").
`clusters` and `strata` are arrays with one name per image. Everything is deterministic given `seed`, and the result
does not depend on the order of the images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import stats

Statistic = Callable[[Int[np.ndarray, " m"]], float]
PerImage = Bool[np.ndarray, " n"] | Float[np.ndarray, " n"]

MAX_UNDEFINED_SHARE = 0.05
MIN_DRAWS = 100


class UndefinedScoreError(ValueError):
    """A score has no value on these images, for example the AUC of a class without positives."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval, the images (`n`) and clusters behind it, and the draws that had no value.

    Where resampling can say nothing (a single patient, a class too rare to be drawn) the value stands without bounds:
    `low` and `high` are None, and `reason` tells why.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    clusters: int
    undefined_draws: int = 0
    reason: str = ""


@dataclass(frozen=True)
class ClusteredMcNemar:
    """Accuracy of b minus accuracy of a, with two p-values for "no difference" (see `obuchowski`)."""

    difference: float
    p_null: float
    p_wald: float
    clusters: int


@dataclass(frozen=True)
class _Clusters:
    """Images sorted by cluster; cluster k holds order[starts[k] : starts[k] + sizes[k]]; a pool is one stratum."""

    order: Int[np.ndarray, " n"]
    starts: Int[np.ndarray, " k"]
    sizes: Int[np.ndarray, " k"]
    pools: list[Int[np.ndarray, " _"]]

    @property
    def unresampled(self) -> str:
        """Why no draw would differ from another; empty if draws do."""
        if len(self.sizes) < 2:
            return "no interval: a single patient"
        if max(map(len, self.pools)) < 2:
            return "no interval: a single patient a site"
        return ""

    def pick(self, rng: np.random.Generator) -> Int[np.ndarray, " k"]:
        """Cluster numbers drawn with replacement, as many in each stratum as it has."""
        return np.concatenate([pool[rng.integers(0, len(pool), len(pool))] for pool in self.pools])

    def images(self, picks: Int[np.ndarray, " k"]) -> Int[np.ndarray, " m"]:
        """Image indices of the picked clusters."""
        sizes = self.sizes[picks]
        ends = np.cumsum(sizes)
        shift = np.repeat(self.starts[picks] - (ends - sizes), sizes)
        return np.asarray(self.order[np.arange(ends[-1]) + shift])


def cluster_bootstrap(
    statistic: Statistic,
    clusters: Shaped[np.ndarray, " n"],
    *,
    strata: Shaped[np.ndarray, " n"] | None = None,
    draws: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of `statistic` from resampling whole clusters within strata (Davison & Hinkley 1997, 3.8).

    `statistic` takes image indices (with repeats) and returns a float. A draw on which it returns NaN or raises
    `UndefinedScoreError` is counted in `undefined_draws` and left out; with more than 5 % of them there is no interval.
    A statistic without a value on the data themselves is an error. A stratum with a single cluster adds no variance.
    """
    _check_settings(draws, level)
    layout = _layout(clusters, strata)
    value = float(statistic(np.arange(len(clusters))))
    if np.isnan(value):
        raise UndefinedScoreError("the statistic is NaN on the data themselves: leave out what has no value")
    if layout.unresampled:
        return Interval(value, None, None, len(clusters), len(layout.sizes), reason=layout.unresampled)
    rng = np.random.default_rng(seed)
    values = np.array([_value_or_nan(statistic, layout.images(layout.pick(rng))) for _ in range(draws)])
    return _interval(value, values, level, n=len(clusters), clusters=len(layout.sizes))


def paired_difference(
    statistic_a: Statistic,
    statistic_b: Statistic,
    clusters: Shaped[np.ndarray, " n"],
    *,
    strata: Shaped[np.ndarray, " n"] | None = None,
    draws: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Interval of b minus a on the same images: both statistics see the same draws. See `cluster_bootstrap`."""

    def difference(images: Int[np.ndarray, " m"]) -> float:
        return float(statistic_b(images)) - float(statistic_a(images))

    return cluster_bootstrap(difference, clusters, strata=strata, draws=draws, seed=seed, level=level)


def seed_bootstrap(
    per_image: Float[np.ndarray, "seeds n"],
    clusters: Shaped[np.ndarray, " n"],
    *,
    strata: Shaped[np.ndarray, " n"] | None = None,
    draws: int = 2000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Interval of the mean over training seeds and images, resampling both seeds and clusters in every draw.

    `per_image[s, i]` is the score of image i under training seed s (1.0 or 0.0 for correct or not, a Dice, ...).
    Seeds and clusters are crossed: one draw uses the same resampled clusters for all its resampled seeds.
    """
    _check_settings(draws, level)
    layout = _layout(clusters, strata)
    seeds = len(per_image)
    if seeds < 2:
        raise ValueError(f"seed_bootstrap got {seeds} training seed(s); it needs 2 or more, else use cluster_bootstrap")
    _check_length("per_image", per_image.shape[1], len(clusters))
    if not np.isfinite(per_image).all():
        raise ValueError("per_image holds values that are not finite: give failed images their worst score first")
    value = float(per_image.mean())
    if layout.unresampled:
        return Interval(value, None, None, len(clusters), len(layout.sizes), reason=layout.unresampled)
    sums = np.add.reduceat(per_image[:, layout.order], layout.starts, axis=1)
    rng = np.random.default_rng(seed)
    values = np.empty(draws)
    for draw in range(draws):
        rows, picks = rng.integers(0, seeds, seeds), layout.pick(rng)
        values[draw] = sums[np.ix_(rows, picks)].sum() / (seeds * layout.sizes[picks].sum())
    return _interval(value, values, level, n=len(clusters), clusters=len(layout.sizes))


def sign_flip_test(
    correct_a: PerImage, correct_b: PerImage, clusters: Shaped[np.ndarray, " n"], *, draws: int = 9999, seed: int
) -> float:
    """Two-sided p of "a and b are equally good": swap a and b in random patients (sign-flip permutation).

    `correct_*` holds right or wrong per image, or any score per image. Statistic: the sum of b - a.
    p = (1 + hits) / (draws + 1), so it is never zero (Phipson & Smyth 2010).
    """
    _check_settings(draws, 0.95)
    totals, _ = _cluster_differences(correct_a, correct_b, clusters)
    rng = np.random.default_rng(seed)
    threshold = abs(totals.sum()) - 1e-9
    hits = 0
    for start in range(0, draws, 1000):
        flips = rng.integers(0, 2, size=(min(1000, draws - start), len(totals))) * 2 - 1
        hits += int((np.abs(flips @ totals) >= threshold).sum())
    return (1 + hits) / (draws + 1)


def obuchowski(
    correct_a: Bool[np.ndarray, " n"], correct_b: Bool[np.ndarray, " n"], clusters: Shaped[np.ndarray, " n"]
) -> ClusteredMcNemar:
    """McNemar's test for images nested in patients: H0 is equal accuracy of a and b.

    With t_k the sum of b - a in cluster k and n_k its images: `p_null` takes the variance under H0, z = sum t /
    sqrt(sum t^2) (Durkalski et al. 2003); `p_wald` takes it around the observed difference, by the ratio's linear
    form and Student's t with K - 1 degrees of freedom (Obuchowski 1998; Yang et al. 2010).
    """
    totals, sizes = _cluster_differences(correct_a, correct_b, clusters)
    k = len(totals)
    difference = float(totals.sum() / sizes.sum())
    z = _ratio(totals.sum(), np.sqrt((totals**2).sum()))
    residuals = totals - sizes * difference
    t = _ratio(totals.sum(), np.sqrt(k / (k - 1) * (residuals**2).sum()))
    return ClusteredMcNemar(difference, float(2 * stats.norm.sf(z)), float(2 * stats.t.sf(t, k - 1)), k)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion of independent cases (Wilson 1927); blind to clusters."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"wilson got {successes} successes of {n}; allowed is 0 <= successes <= n with n >= 1")
    _check_settings(MIN_DRAWS, level)
    bounds = stats.binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Interval(successes / n, float(bounds.low), float(bounds.high), n, n)


def _layout(clusters: Shaped[np.ndarray, " n"], strata: Shaped[np.ndarray, " n"] | None) -> _Clusters:
    names, first, codes, sizes = np.unique(clusters, return_index=True, return_inverse=True, return_counts=True)
    if not len(names):
        raise UndefinedScoreError("there is no image to compute a score of")
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    if strata is None:
        return _Clusters(order, starts, sizes, [np.arange(len(names))])
    _check_length("strata", len(strata), len(clusters))
    of_cluster = strata[first]
    mixed = np.unique(clusters[strata != of_cluster[codes]])
    if len(mixed):
        raise ValueError(
            f"cluster {mixed[0]!s} lies in more than one stratum ({len(mixed)} such): "
            "a cluster is one patient of one site, so put the site into the cluster's name"
        )
    pools = [np.flatnonzero(of_cluster == stratum) for stratum in np.unique(of_cluster)]
    return _Clusters(order, starts, sizes, pools)


def _value_or_nan(statistic: Statistic, images: Int[np.ndarray, " m"]) -> float:
    try:
        return float(statistic(images))
    except UndefinedScoreError:
        return float("nan")


def _interval(value: float, values: Float[np.ndarray, " draws"], level: float, *, n: int, clusters: int) -> Interval:
    undefined = int(np.isnan(values).sum())
    if undefined > MAX_UNDEFINED_SHARE * len(values):
        reason = f"no interval: a class is so rare that {undefined} of {len(values)} draws had no value"
        return Interval(value, None, None, n, clusters, undefined, reason)
    low, high = np.nanpercentile(values, [50 * (1 - level), 50 * (1 + level)])
    return Interval(value, float(low), float(high), n, clusters, undefined)


def _cluster_differences(
    correct_a: PerImage, correct_b: PerImage, clusters: Shaped[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Per cluster: the sum of b - a, and the number of images."""
    _check_length("correct_a", len(correct_a), len(clusters))
    _check_length("correct_b", len(correct_b), len(clusters))
    names, codes = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"a clustered test needs 2 clusters or more, got {len(names)}")
    totals = np.bincount(codes, weights=correct_b.astype(float) - correct_a.astype(float))
    return totals, np.bincount(codes)


def _ratio(total: float, spread: float) -> float:
    """|total| / spread; 0 if both vanish (no discordant image), infinite if only the spread does."""
    if abs(total) < 1e-12:
        return 0.0
    return float("inf") if spread < 1e-12 else float(abs(total) / spread)


def _check_length(name: str, got: int, wanted: int) -> None:
    if got != wanted:
        raise ValueError(f"{name} has {got} images but clusters has {wanted}: give one entry per image, in one order")


def _check_settings(draws: int, level: float) -> None:
    if draws < MIN_DRAWS:
        raise ValueError(f"draws is {draws}; at least {MIN_DRAWS} are needed (2000 for a published interval)")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1, for example 0.95")
