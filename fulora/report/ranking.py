"""Figures of rankings: the ranks of each method under resampling, and the stability of each scheme."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from fulora.metrics.ranking import SCHEMES, Ranking, Stability
from fulora.report.figure_canvas import COLOURS, MUTED, FigureError, drawing, join_pictures
from fulora.segmentation.challenge_ranking import Rankings

MAX_DOT = 900.0
"""The area of the dot of a rank that a method has in every draw, square points."""


def plot_rank_stability(names: Sequence[str], of_all: Ranking, resampled: Stability, title: str = "") -> bytes:
    """Plot, for each method in order of rank, a dot at each rank with the area of its share of draws.

    The cross is the rank on all cases, the line the 95 % interval.

    Raises:
        FigureError: if names, ranks and draws are of different numbers of methods.
    """
    if not len(names) == len(of_all.ranks) == resampled.ranks.shape[1]:
        given = f"{len(names)} names, {len(of_all.ranks)} ranks, draws of {resampled.ranks.shape[1]}"
        raise FigureError(f"a figure of ranks needs one of each for every method, not {given}")
    order = np.argsort(of_all.ranks, kind="stable")
    with drawing(9.0, 1.5 + 0.5 * len(names)) as canvas:
        axes = canvas.axes
        for line, method in enumerate(order):
            ranks, counts = np.unique(resampled.ranks[:, method], return_counts=True)
            areas = MAX_DOT * counts / len(resampled.ranks)
            axes.hlines(line, resampled.low[method], resampled.high[method], color=MUTED, linewidth=1.5, zorder=2)
            axes.scatter(ranks, np.full(len(ranks), line), s=areas, color=COLOURS[0], alpha=0.6, linewidths=0, zorder=3)
            axes.plot(of_all.ranks[method], line, "x", color=COLOURS[1], markersize=8, zorder=4)
            text = f"first in {resampled.first[method]:.0%}"
            axes.text(1.02, line, text, transform=axes.get_yaxis_transform(), va="center", color=MUTED)
        axes.set_yticks(range(len(names)), [names[method] for method in order])
        axes.set(xlabel="rank (1 is the best)", title=title, xlim=(0.5, len(names) + 0.5))
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return canvas.png


def plot_kendall_tau(taus: Mapping[str, Stability], title: str = "") -> bytes:
    """Plot Kendall's tau of each draw's ranking and that of all cases by name: median, 50 % and 95 % of draws.

    Raises:
        FigureError: if there are no names, or all draws of one are ties.
    """
    known = {name: item.taus[np.isfinite(item.taus)] for name, item in taus.items()}
    if blank := [name for name, values in known.items() if not values.size] or ([] if known else ["all"]):
        raise FigureError(f"no draw tells the methods apart, so there is no Kendall's tau to draw: {', '.join(blank)}")
    with drawing(9.0, 1.5 + 0.5 * len(known)) as canvas:
        axes = canvas.axes
        for line, values in enumerate(known.values()):
            low, first, median, third, high = np.percentile(values, [2.5, 25, 50, 75, 97.5])
            axes.hlines(line, low, high, color=COLOURS[0], linewidth=2, alpha=0.5)
            axes.hlines(line, first, third, color=COLOURS[0], linewidth=8, alpha=0.6)
            axes.plot(median, line, "o", color="white", markeredgecolor=COLOURS[0], markersize=8, zorder=4)
            text = f"mean {values.mean():.2f}"
            axes.text(1.02, line, text, transform=axes.get_yaxis_transform(), va="center", color=MUTED)
        axes.set_yticks(range(len(known)), [name.replace("_", " ") for name in known])
        axes.set(xlabel="Kendall's tau with the ranking of all cases", title=title, xlim=(-1.05, 1.05))
        axes.set_ylim(len(known) - 0.4, -0.6)
    return canvas.png


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
