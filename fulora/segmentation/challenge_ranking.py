"""Rankings of several predictions on the same cases, by each score of a protocol. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from fulora.metrics.ranking import SCHEMES, Ranking, Scheme, Stability, mean_rank, ranking, stability
from fulora.progress import track
from fulora.segmentation.challenge_protocols import CaseScores, ScoreKind

Rankings = Mapping[str, Mapping[Scheme, tuple[Ranking, Stability]]]
"""By score and scheme."""


def rank_predictions(
    scores: Mapping[str, Sequence[CaseScores]],
    kinds: Mapping[str, ScoreKind],
    patients: Sequence[str],
    *,
    draws: int,
    seed: int,
) -> Rankings:
    """Rank predictions by each score and scheme, with the stability of each ranking.

    Args:
        scores: of each prediction, its cases in the same order.
        patients: of each case; the bootstrap resamples patients.
    """
    rankings = {}
    for name, kind in track(kinds.items(), "ranked", total=len(kinds)):
        values = np.array([[case.values[name] for case in cases] for cases in scores.values()], dtype=float)
        rankings[name] = {
            scheme: _rank(values, scheme, kind.higher_is_better, patients, draws, seed) for scheme in SCHEMES
        }
    return rankings


def _rank(
    values: Float[np.ndarray, "methods cases"],
    scheme: Scheme,
    higher_is_better: bool,
    patients: Sequence[str],
    draws: int,
    seed: int,
) -> tuple[Ranking, Stability]:
    resampled = stability(
        values, scheme, higher_is_better=higher_is_better, clusters=np.array(patients), draws=draws, seed=seed
    )
    return ranking(values, scheme, higher_is_better=higher_is_better), resampled


def ranking_facts(rankings: Rankings) -> dict[str, Any]:
    """Return, by scheme, the ranks by each score with their stability, and by the mean of ranks over all scores."""
    facts: dict[str, Any] = {}
    for scheme in SCHEMES:
        overall = mean_rank([schemes[scheme][0] for schemes in rankings.values()])
        facts[scheme] = {
            "overall_ranks": overall.ranks,
            "mean_ranks": overall.values,
            "metrics": {name: _facts(*schemes[scheme]) for name, schemes in rankings.items()},
        }
    return facts


def _facts(ranks: Ranking, resampled: Stability) -> dict[str, Any]:
    taus = resampled.taus[np.isfinite(resampled.taus)]
    return {
        "ranks": ranks.ranks,
        "values": ranks.values,
        "first": resampled.first,
        "low": resampled.low,
        "high": resampled.high,
        "kendall_tau": float(taus.mean()) if taus.size else None,
        "draws_without_order": int(resampled.taus.size - taus.size),
    }
