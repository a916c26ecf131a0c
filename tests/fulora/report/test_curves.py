"""Curves of scores."""

import io

import pytest
from PIL import Image as Pil

from fulora.report.curves import plot_ratio_curve
from fulora.report.drawing import FigureError


def test_a_curve_over_ratios_is_drawn_the_same_each_time() -> None:
    values = ([0.0, 1.0, 10.0], [0.5, 0.6, 0.55], [0.4, None, 0.5], [0.6, None, 0.6], "accuracy")
    png = plot_ratio_curve(*values)
    with Pil.open(io.BytesIO(png)) as picture:
        assert picture.size == (1400, 760)
    assert plot_ratio_curve(*values) == png


@pytest.mark.parametrize("ratios", [[0.0], [0.0, 0.0], [2.0, 1.0]])
def test_ratios_rise(ratios: list[float]) -> None:
    n = len(ratios)
    with pytest.raises(FigureError, match="two or more in rising order"):
        plot_ratio_curve(ratios, [0.5] * n, [None] * n, [None] * n, "accuracy")
