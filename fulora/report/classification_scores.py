"""A figure of a classifier's scores: its confusion matrix, and its accuracy on all images and on each site."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fulora.metrics.scorecard import ScoreRow
from fulora.report.confusion import plot_confusion
from fulora.report.figure_canvas import FigureError, join_pictures
from fulora.report.figures import plot_intervals
from fulora.report.score_text import describe_group, describe_rule

GAP_PX = 40


def plot_scores(confusion: Mapping[str, Any], rows: Sequence[ScoreRow]) -> bytes:
    """Plot the confusion matrix on the left, and accuracies with intervals on the right.

    Args:
        confusion: `true` and `decided` class names, and `counts`, a row for each true class. All true classes are
            among the decided ones.
        rows: of `fulora.metrics.scorecard`; the accuracies of all images and of sites are plotted.

    Raises:
        FigureError: if there is no accuracy.
    """
    shown = [row for row in rows if row.quantity == "accuracy" and row.group.kind in ("all", "site")]
    if not shown:
        raise FigureError("a figure of scores needs rows of accuracy")
    names = confusion["decided"]
    matrix = np.zeros((len(names), len(names)), dtype=int)
    matrix[[names.index(name) for name in confusion["true"]]] = confusion["counts"]
    intervals = [row.interval for row in shown]
    right = plot_intervals(
        [
            f"{describe_group(row.group)} (n = {row.interval.n}): {describe_rule(row.rule, row.choices)}"
            for row in shown
        ],
        [interval.value for interval in intervals],
        [interval.low for interval in intervals],
        [interval.high for interval in intervals],
        title="Accuracy, with intervals that resample patients",
        quantity="accuracy",
    )
    left = plot_confusion(matrix, names, "Confusion of the own decision")
    return join_pictures([[left], [right]], GAP_PX)
