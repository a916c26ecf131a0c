"""Figures of rankings: the same bytes again, something drawn, and what cannot be drawn."""

import io

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.metrics.ranking import SCHEMES, ranking, stability
from fulora.report.figure_canvas import FigureError
from fulora.report.ranking import plot_kendall_tau, plot_rank_stability

SCORES = np.random.default_rng(2).normal(size=(3, 40)) + np.array([[0.0], [0.3], [0.6]])
FOUND = ranking(SCORES, "aggregate_then_rank", higher_is_better=True)
DRAWN = {name: stability(SCORES, name, higher_is_better=True, draws=50) for name in SCHEMES}
NAMES = ("ours", "theirs", "a third")


def test_figures_are_drawn_and_the_same_again() -> None:
    resampled = DRAWN["aggregate_then_rank"]
    for plot in (lambda: plot_rank_stability(NAMES, FOUND, resampled, "Dice"), lambda: plot_kendall_tau(DRAWN, "Dice")):
        png = plot()
        assert png == plot()
        with Pil.open(io.BytesIO(png)) as image:
            assert image.width == 1800
            assert len(image.getcolors(2**24) or []) > 20


def test_what_cannot_be_drawn_is_named() -> None:
    with pytest.raises(FigureError, match="not 2 names, 3 ranks, draws of 3"):
        plot_rank_stability(NAMES[:2], FOUND, DRAWN["aggregate_then_rank"])
    same = stability(np.vstack([SCORES[0]] * 2), "aggregate_then_rank", higher_is_better=True, draws=5)
    with pytest.raises(FigureError, match=r"no draw tells the methods apart.*: Dice"):
        plot_kendall_tau({"Dice": same})
    with pytest.raises(FigureError, match=r"no draw tells the methods apart.*: all"):
        plot_kendall_tau({})
