"""Scores as curves with bands of their intervals."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fulora.report.drawing import COLOURS, FigureError, drawing


def plot_ratio_curve(
    ratios: Sequence[float],
    values: Sequence[float],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    quantity: str,
) -> bytes:
    """A score over the ratio of synthetic to real images, with its intervals; ratios are evenly spaced.

    Args:
        ratios: in rising order; 0 is without synthetic images.
        quantity: what the score is, such as `accuracy`.

    Raises:
        FigureError: fewer than two ratios, or not in rising order.
    """
    if len(ratios) < 2 or any(one >= other for one, other in pairwise(ratios)):
        raise FigureError(f"a curve over ratios needs two or more in rising order, not {list(ratios)}")
    places = np.arange(len(ratios))
    low = np.array([value if bound is None else bound for bound, value in zip(lows, values, strict=True)])
    high = np.array([value if bound is None else bound for bound, value in zip(highs, values, strict=True)])
    with drawing(7.0, 3.8) as canvas:
        axes = canvas.axes
        axes.fill_between(places, low, high, color=COLOURS[0], alpha=0.15, linewidth=0)
        axes.plot(places, values, "o-", color=COLOURS[0], linewidth=2, markersize=7, markeredgecolor="white")
        axes.axhline(values[0], color=COLOURS[1], linestyle="--", linewidth=1.2)
        axes.set_xticks(places, [f"{ratio:g}" for ratio in ratios])
        axes.set(xlabel="synthetic images per real one", ylabel=quantity)
    return canvas.png
