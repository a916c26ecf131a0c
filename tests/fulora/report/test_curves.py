"""Curves of scores."""

import io

import pytest
from PIL import Image as Pil

from fulora.report.curves import plot_sweep
from fulora.report.figure_canvas import FigureError

CURVES = {
    "real": [(5.0, 0.5, 0.4, 0.6), (10.0, 0.6, None, None)],
    "hybrid": [(5.0, 0.6, 0.5, 0.7), (20.0, 0.7, 0.6, 0.8)],
}


def test_a_sweep_is_drawn_the_same_each_time() -> None:
    png = plot_sweep(CURVES, "real images of each plane", "accuracy")
    with Pil.open(io.BytesIO(png)) as picture:
        assert picture.size == (1400, 760)
    assert plot_sweep(CURVES, "real images of each plane", "accuracy") == png
    assert plot_sweep({"real": CURVES["real"]}, "real images of each plane", "accuracy") != png


@pytest.mark.parametrize("places", [[], [0.0], [0.0, 0.0], [2.0, 1.0]])
def test_places_rise(places: list[float]) -> None:
    with pytest.raises(FigureError, match="two points or more in rising order; these have not: \\['real'\\]"):
        plot_sweep({"real": [(place, 0.5, None, None) for place in places]}, "ratio", "accuracy")


def test_there_is_a_curve() -> None:
    with pytest.raises(FigureError, match="no curves"):
        plot_sweep({}, "ratio", "accuracy")
