"""Scores as curves with bands of their intervals."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from fulora.report.figure_canvas import COLOURS, FigureError, drawing, legend_label

Point = tuple[float, float, float | None, float | None]
"""Position on the axis, and a score with its interval: value, low and high."""


def plot_sweep(curves: Mapping[str, Sequence[Point]], label: str, quantity: str) -> bytes:
    """Plot scores with intervals over a varied quantity. Positions are evenly spaced.

    Args:
        curves: by name, points in ascending order of position.
        label: the varied quantity, such as `synthetic images per real one`.
        quantity: the score, such as `accuracy`.

    Raises:
        FigureError: if a curve has fewer than two points, or they are not in ascending order.
    """
    wrong = [
        name for name, points in curves.items() if len(points) < 2 or any(a[0] >= b[0] for a, b in pairwise(points))
    ]
    if wrong or not curves:
        raise FigureError(f"a curve needs two points or more in rising order; these have not: {wrong or 'no curves'}")
    ticks = sorted({point[0] for points in curves.values() for point in points})
    with drawing(7.0, 3.8) as canvas:
        axes = canvas.axes
        for number, (name, points) in enumerate(curves.items()):
            colour, places = COLOURS[number % len(COLOURS)], [ticks.index(point[0]) for point in points]
            value = np.array([point[1] for point in points])
            low, high = (np.array([p[1] if p[side] is None else p[side] for p in points], float) for side in (2, 3))
            axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
            legend = legend_label(name)
            axes.plot(
                places, value, "o-", color=colour, linewidth=2, markersize=7, markeredgecolor="white", label=legend
            )
        axes.set_xticks(range(len(ticks)), [f"{tick:g}" for tick in ticks])
        axes.set(xlabel=label, ylabel=quantity)
        if len(curves) > 1:
            axes.legend()
    return canvas.png


def describe_curves(curves: Mapping[str, Sequence[Point]]) -> str:
    """Return where each curve begins and ends, for a screen reader."""
    ends = [(name, points[0], points[-1]) for name, points in curves.items()]
    return "; ".join(f"{name}: {a[1]:.3f} at {a[0]:g}, {b[1]:.3f} at {b[0]:g}" for name, a, b in ends) + "."


def plot_percentiles(curves: Mapping[str, Mapping[str, Sequence[float]]], quantity: str) -> bytes:
    """Plot cumulative distributions, a panel per title and a line per name.

    Args:
        curves: by title and name, the percentiles 0 to 100 of some values.
        quantity: the name of the values.

    Raises:
        FigureError: if there are no curves.
    """
    if not curves:
        raise FigureError("there are no percentiles to draw: give one panel or more")
    with drawing(3.6 * len(curves), 3.2) as canvas:
        canvas.axes.remove()
        panels = canvas.figure.subplots(1, len(curves), squeeze=False)[0]
        for axes, (title, lines) in zip(panels, curves.items(), strict=True):
            for number, (name, values) in enumerate(lines.items()):
                shares = np.linspace(0, 100, len(values))
                label, colour = legend_label(name), COLOURS[number % len(COLOURS)]
                axes.plot(values, shares, color=colour, linewidth=2, label=label)
            axes.set(xlabel=quantity, ylabel="% of images nearer", title=title)
            axes.legend()
    return canvas.png
