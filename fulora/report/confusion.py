"""The figure of a confusion matrix, of two classes or of dozens."""

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes

from fulora.report.figure_canvas import INK, FigureError, drawing

MANY = 12
"""Matrices of more classes have smaller cells, which hold counts alone."""
CELL, SMALL_CELL = 0.85, 0.36
PALE = "#a3adb8"


def plot_confusion(matrix: Int[np.ndarray, "k k"], labels: Sequence[str], title: str = "") -> bytes:
    """A confusion matrix of counts, rows true and columns predicted, coloured by the share of each row.

    Up to `MANY` classes every cell holds its share and count; of more the count alone, and zeros are left out.

    Raises:
        FigureError: an empty matrix, or one that does not fit its labels.
    """
    if matrix.size == 0 or matrix.sum() == 0:
        raise FigureError("a confusion matrix needs at least one image")
    if matrix.shape != (len(labels), len(labels)):
        raise FigureError(f"a confusion matrix of shape {matrix.shape} does not fit {len(labels)} labels")
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    many = len(labels) > MANY
    side = 1.5 + (SMALL_CELL if many else CELL) * len(labels)
    longest = max(map(len, labels))
    room = min(longest, 30) * 0.07 if many or longest > 12 else 0.0
    with drawing(side + 1.1 + room, side + 0.2 + room) as canvas:
        axes = canvas.axes
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.6 else INK if count else PALE
            if many and count:
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=7)
            if many:
                continue
            share = f"{shares[row, column]:.0%}" if totals[row, 0] else "–"
            axes.text(column, row - 0.11, share, ha="center", va="center", color=colour, fontsize=11, fontweight="bold")
            axes.text(column, row + 0.2, f"{count:,}", ha="center", va="center", color=colour, fontsize=8)
        _name_axes(axes, labels, [int(n) for n in totals[:, 0]], many=many)
        axes.set(xlabel="predicted", ylabel="true", title=title)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_xticks(np.arange(len(labels) - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(len(labels) - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1 if many else 3)
        axes.tick_params(which="minor", length=0)
    return canvas.png


def describe_confusion(matrix: Int[np.ndarray, "k k"], labels: Sequence[str]) -> str:
    """Return what a matrix shows, for a screen reader: of each class with images how many are right, of how many."""
    totals = matrix.sum(axis=1)
    shown = [f"{name} {matrix[n, n]:,} of {totals[n]:,} right" for n, name in enumerate(labels) if totals[n]]
    return ", ".join(shown) + "."


def _name_axes(axes: Axes, labels: Sequence[str], totals: Sequence[int], *, many: bool) -> None:
    short = [textwrap.shorten(name, 32, placeholder="…") if " " in name else name[:32] for name in labels]
    size = 8 if many else 10
    upright = max(map(len, short)) < 10 and not many
    axes.set_xticks(range(len(short)), short, fontsize=size)
    if not upright:
        axes.tick_params(axis="x", rotation=90 if many else 30)
    rows = [f"{name}  (n = {n:,})" if many else f"{name}\nn = {n:,}" for name, n in zip(short, totals, strict=True)]
    axes.set_yticks(range(len(rows)), rows, fontsize=size)
