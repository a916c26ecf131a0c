"""The figure of a classifier's scores."""

import io

import pytest
from PIL import Image as Pil

from fulora.metrics.image_groups import ALL_IMAGES, ImageGroup
from fulora.metrics.scorecard import ScoreRow
from fulora.metrics.statistics import Interval
from fulora.report.classification_scores import plot_scores
from fulora.report.figure_canvas import FigureError

CONFUSION = {"true": ["brain", "femur"], "decided": ["brain", "femur", "other"], "counts": [[5, 1, 2], [0, 4, 1]]}


SITE = ImageGroup("site", "GHA")


def row(quantity: str, group: ImageGroup = ALL_IMAGES) -> ScoreRow:
    return ScoreRow(quantity, "own decision", 3, ("brain", "femur"), group, Interval(0.7, 0.5, 0.9, 13, 6))


@pytest.mark.slow
def test_a_figure_has_the_matrix_and_the_accuracies_side_by_side() -> None:
    rows = [row("accuracy"), row("macro F1"), row("accuracy", SITE), row("recall", ImageGroup("class", "brain"))]
    png = plot_scores(CONFUSION, rows)
    with Pil.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert picture.width > picture.height > 400
    assert png == plot_scores(CONFUSION, rows)
    assert png != plot_scores(CONFUSION, [*rows[:3], row("accuracy", ImageGroup("site", "UGA"))])


def test_without_an_accuracy_there_is_no_figure() -> None:
    with pytest.raises(FigureError, match="needs rows of accuracy"):
        plot_scores(CONFUSION, [row("macro F1")])
