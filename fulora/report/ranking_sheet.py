"""The figure of a ranking of several predictions: rank stability and Kendall's tau on one sheet."""

from collections.abc import Sequence

import numpy as np

from fulora.metrics.ranking import SCHEMES
from fulora.report.drawing import join_pictures
from fulora.report.ranking import plot_kendall_tau, plot_rank_stability
from fulora.segmentation.challenge_ranking import Rankings


def plot_rankings(names: Sequence[str], rankings: Rankings) -> bytes:
    """Return a PNG: on the left the ranks by each score (aggregate-then-rank), on the right Kendall's tau by scheme."""
    ranks = [
        plot_rank_stability(names, *schemes["aggregate_then_rank"], f"{score}: aggregate then rank")
        for score, schemes in rankings.items()
    ]
    taus = []
    for scheme in SCHEMES:
        resampled = {score: schemes[scheme][1] for score, schemes in rankings.items()}
        ordered = {score: one for score, one in resampled.items() if np.isfinite(one.taus).any()}
        if ordered:
            taus.append(plot_kendall_tau(ordered, f"Stability, {scheme.replace('_', ' ')}"))
    return join_pictures([ranks, taus])
