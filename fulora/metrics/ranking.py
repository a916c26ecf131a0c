"""Rankings of several methods on the same cases, as challenges make them, and how firm they are.

Three schemes (Maier-Hein et al., Nat Commun 2018; 9: 5217; Wiesenfarth et al., Sci Rep 2021; 11: 2369):
aggregate_then_rank ranks the means over cases; rank_then_aggregate ranks the methods on each case, and then their mean
ranks; test_then_rank counts the methods that each beats significantly (one-sided Wilcoxon signed-rank tests, Holm over
all ordered pairs). Rank 1 is the best, and equals share the mean of their ranks.

All are computed from weights of the cases, so that a bootstrap of whole clusters is one matrix of counts. A case
without a score must be given its worst value before: a case that drops out would reward the method that failed.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

Scheme = Literal["aggregate_then_rank", "rank_then_aggregate", "test_then_rank"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

Scores = Float[np.ndarray, "methods cases"]
Weights = Float[np.ndarray, "draws cases"]
Ranks = Float[np.ndarray, "draws methods"]

ALPHA = 0.05
BLOCK_DRAWS = 200


class RankingError(ValueError):
    """Scores that cannot be ranked."""


@dataclass(frozen=True)
class Ranking:
    """Ranks by one scheme, 1 the best, and what was ranked: means, mean ranks, or counts of significant wins."""

    scheme: Scheme
    ranks: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Stability:
    """A ranking under resampling of whole clusters.

    Attributes:
        ranks: of each draw and method.
        taus: Kendall's tau-b between the ranking of each draw and that of all cases; NaN where all methods tie.
        first: the share of draws in which each method is first, ties included.
        low, high: of each method, the 2.5th and 97.5th percentile of its ranks.
    """

    ranks: Ranks
    taus: Float[np.ndarray, " draws"]
    first: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def ranking(scores: Scores, scheme: Scheme, *, higher_is_better: bool, alpha: float = ALPHA) -> Ranking:
    """The ranking of all cases.

    Raises:
        RankingError: fewer than two methods or cases, or a score that is not finite.
        ValueError: no such scheme.
    """
    checked = _checked(scores)
    values = _ranked_values(checked, np.ones((1, checked.shape[1])), scheme, higher_is_better, alpha)
    ranks = _ranks(values, scheme, higher_is_better)
    return Ranking(scheme, tuple(map(float, ranks[0])), tuple(map(float, values[0])))


def stability(
    scores: Scores,
    scheme: Scheme,
    *,
    higher_is_better: bool,
    clusters: Shaped[np.ndarray, " cases"] | None = None,
    draws: int = 1000,
    seed: int = 0,
    alpha: float = ALPHA,
) -> Stability:
    """The ranking under a bootstrap.

    Args:
        clusters: the patient of each case; whole patients are drawn. Without, every case is its own.
        draws: of as many clusters as there are.

    Raises:
        RankingError: as `ranking`, or fewer than two clusters or one draw.
        ValueError: no such scheme.
    """
    checked = _checked(scores)
    cases = checked.shape[1]
    codes = np.arange(cases) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    count = int(codes.max()) + 1
    if len(codes) != cases or count < 2 or draws < 1:
        raise RankingError(
            f"{len(codes)} clusters' names for {cases} cases, {count} clusters and {draws} draws; "
            "a bootstrap needs a name for each case, two clusters and a draw"
        )
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    blocks = (drawn[start : start + BLOCK_DRAWS][:, codes].astype(float) for start in range(0, draws, BLOCK_DRAWS))
    values = [_ranked_values(checked, weights, scheme, higher_is_better, alpha) for weights in blocks]
    ranks = _ranks(np.concatenate(values), scheme, higher_is_better)
    full = np.array(ranking(checked, scheme, higher_is_better=higher_is_better, alpha=alpha).ranks)
    low, high = np.percentile(ranks, [2.5, 97.5], axis=0)
    first = (ranks == ranks.min(axis=1, keepdims=True)).mean(axis=0)
    return Stability(ranks, kendall_tau(ranks, full), *(tuple(map(float, column)) for column in (first, low, high)))


def mean_rank(rankings: list[Ranking]) -> Ranking:
    """One ranking over several metrics: the mean of each method's ranks, ranked.

    Raises:
        RankingError: no rankings, or rankings of different numbers of methods.
    """
    if len({len(one.ranks) for one in rankings}) != 1:
        raise RankingError("a mean rank needs one ranking or more, all of the same methods")
    means = np.mean([one.ranks for one in rankings], axis=0)
    ranks = stats.rankdata(means)
    return Ranking(rankings[0].scheme, tuple(map(float, ranks)), tuple(map(float, means)))


def win_p_values(
    scores: Scores, weights: Weights | None = None, *, higher_is_better: bool
) -> Float[np.ndarray, "draws methods methods"]:
    """p[d, i, j] of "i is no better than j" in draw d, Holm-adjusted over all ordered pairs; 1 on the diagonal.

    One-sided Wilcoxon signed-rank tests by the normal approximation; ranks of cases that are equal are split between
    both sides. Without weights there is one draw, in which every case counts once.

    Raises:
        RankingError: as `ranking`.
    """
    checked = _checked(scores)
    counts = np.ones((1, checked.shape[1])) if weights is None else weights
    methods, sign = len(checked), 1.0 if higher_is_better else -1.0
    p = np.ones((len(counts), methods, methods))
    for i in range(methods):
        for j in range(i + 1, methods):
            p[:, i, j] = _wilcoxon(sign * (checked[i] - checked[j]), counts)
            p[:, j, i] = 1 - p[:, i, j]
    off = ~np.eye(methods, dtype=bool)
    p[:, off] = _holm(p[:, off])
    return p


def kendall_tau(ranks: Ranks, reference: Float[np.ndarray, " methods"]) -> Float[np.ndarray, " draws"]:
    """Kendall's tau-b (1945) between each row of ranks and the reference; NaN where either ties all methods."""
    above = np.triu_indices(ranks.shape[1], 1)
    signs = np.sign(ranks[:, above[0]] - ranks[:, above[1]])
    theirs = np.sign(reference[above[0]] - reference[above[1]])
    untied = np.abs(signs).sum(axis=1) * np.abs(theirs).sum()
    with np.errstate(invalid="ignore"):
        return np.asarray((signs @ theirs) / np.sqrt(untied))


def _ranked_values(scores: Scores, weights: Weights, scheme: Scheme, higher_is_better: bool, alpha: float) -> Ranks:
    totals = weights.sum(axis=1, keepdims=True)
    if scheme == "aggregate_then_rank":
        return np.asarray(weights @ scores.T / totals)
    if scheme == "rank_then_aggregate":
        ranks = stats.rankdata(-scores if higher_is_better else scores, axis=0)
        return np.asarray(weights @ ranks.T / totals)
    if scheme == "test_then_rank":
        return np.asarray((win_p_values(scores, weights, higher_is_better=higher_is_better) < alpha).sum(axis=2) * 1.0)
    raise ValueError(f"scheme is {scheme!r}; allowed are {', '.join(SCHEMES)}")


def _ranks(values: Ranks, scheme: Scheme, higher_is_better: bool) -> Ranks:
    most_first = scheme == "test_then_rank" or (scheme == "aggregate_then_rank" and higher_is_better)
    rounded = np.round(values, 12)  # so that the order of summing parts no ties
    return np.asarray(stats.rankdata(-rounded if most_first else rounded, axis=1))


def _wilcoxon(differences: Float[np.ndarray, " cases"], weights: Weights) -> Float[np.ndarray, " draws"]:
    """p of "the differences are not above 0" where case k counts weights[:, k] times.

    With mid-ranks r of |d|, zeros included and split, W = sum over d > 0 of r + half of the zeros' r has the mean
    n (n + 1) / 4 and the variance sum of r^2 / 4 (Wilcoxon 1945, with Cureton's 1967 correction for ties and zeros).
    """
    sizes = np.round(np.abs(differences), 12)
    order = np.argsort(sizes, kind="stable")
    starts = np.flatnonzero(np.diff(sizes[order], prepend=-1.0))
    share = (np.sign(differences[order]) + 1) / 2
    ordered = weights[:, order]
    all_cases = np.add.reduceat(ordered, starts, axis=1)
    upper = np.add.reduceat(ordered * share, starts, axis=1)
    ranks = np.cumsum(all_cases, axis=1) - (all_cases - 1) / 2
    spread = np.sqrt((all_cases * ranks**2).sum(axis=1) / 4)
    n = weights.sum(axis=1)
    return np.asarray(stats.norm.sf(((upper * ranks).sum(axis=1) - n * (n + 1) / 4) / spread))


def _holm(p: Float[np.ndarray, "draws pairs"]) -> Float[np.ndarray, "draws pairs"]:
    """Each row adjusted for how many tests it holds (Holm 1979)."""
    order = np.argsort(p, axis=1)
    steps = np.take_along_axis(p, order, axis=1) * np.arange(p.shape[1], 0, -1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(steps, axis=1), 1), axis=1)
    return adjusted


def _checked(scores: Scores) -> Scores:
    if scores.ndim != 2 or min(scores.shape) < 2:
        raise RankingError(f"scores have the shape {scores.shape}; a ranking needs two methods and two cases or more")
    if not np.isfinite(scores).all():
        count = int((~np.isfinite(scores)).sum())
        raise RankingError(
            f"{count} scores are not finite; give a case that failed its worst value, it must not drop out"
        )
    return scores
