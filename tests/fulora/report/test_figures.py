import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image as Pil

from fulora.report.confusion import plot_confusion
from fulora.report.figure_canvas import FigureError
from fulora.report.figures import (
    plot_bland_altman,
    plot_image_grid,
    plot_intervals,
    plot_losses,
)
from fulora.report.overlays import Overlay, plot_overlays

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(12)]
MASKS = [(np.indices((64, 64))[0] > limit).astype(np.uint8) for limit in (20, 24, 30)]
CASES = [Overlay(image, mask, MASKS[0], "Dice 0.9") for image, mask in zip(IMAGES, MASKS, strict=False)]
LABELS = ("abdomen", "brain", "femur")
CURVES = {"LoRA": [(step, 1.0 / (step + 1)) for step in range(100)], "short": [(0, 1.0), (50, 0.5)]}
MEASURED, REFERENCE = RNG.normal(180, 60, 40).tolist(), RNG.normal(180, 60, 40).tolist()

DRAWINGS = {
    "overlays": lambda: plot_overlays({"best": CASES[:2], "worst": CASES[1:]}),
    "grid": lambda: plot_image_grid({"real": IMAGES[:3], "synthetic": IMAGES[3:]}),
    "losses": lambda: plot_losses(CURVES),
    "confusion": lambda: plot_confusion(np.array([[8, 1, 1], [0, 0, 0], [2, 0, 9]]), LABELS, "Confusion"),
    "bland_altman": lambda: plot_bland_altman(MEASURED, REFERENCE, "mm", "Agreement"),
    "intervals": lambda: plot_intervals(["a $x_1$ \\frac", "b"], [0.5, 0.6], [0.4, None], [0.6, None], baseline=0.5),
}


def opened(png: bytes) -> Pil.Image:
    return Pil.open(io.BytesIO(png))


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWINGS)
def test_figures_are_png_of_sane_size_and_always_the_same(name):
    before = dict(mpl.rcParams)
    png = DRAWINGS[name]()
    assert dict(mpl.rcParams) == before
    assert png == DRAWINGS[name]()
    with opened(png) as image:
        assert image.format == "PNG"
        assert image.info == {}
        assert 300 <= image.width <= 2400
        assert 200 <= image.height <= 4000
        assert len(image.convert("L").getcolors()) > 10


def test_a_style_of_the_user_changes_nothing():
    png = DRAWINGS["losses"]()
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert DRAWINGS["losses"]() == png


def test_tiles_are_large_and_show_the_very_pixels():
    flat = [np.full((64, 64), value, np.uint8) for value in (40, 90, 200)]
    with opened(plot_image_grid({"row": flat})) as image:
        pixels = np.asarray(image)
        assert image.mode == "L"
    for value in (40, 90, 200):
        assert (pixels == value).sum() >= 192 * 192


def test_tiles_are_at_least_96_page_pixels_with_ten_in_a_line():
    with opened(plot_image_grid({"row": [np.full((64, 64), 77, np.uint8)] * 10})) as image:
        assert (np.asarray(image) == 77).sum() >= 10 * (2 * 96) ** 2


def test_images_keep_their_shape():
    with opened(plot_image_grid({"": [np.full((50, 100), 77, np.uint8)]})) as image:
        rows, columns = np.nonzero(np.asarray(image) == 77)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (190, 380)


def test_a_long_row_continues_below():
    heights = [opened(plot_image_grid({"row": (IMAGES * 2)[:n]})).height for n in (10, 11)]
    assert heights[1] > 1.9 * heights[0]


def test_perfect_agreement_can_be_drawn():
    assert plot_bland_altman([1.0, 2.0], [1.0, 2.0], "mm")


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot_image_grid({}), "needs images"),
        (lambda: plot_image_grid({"real": []}), r"without images: \['real'\]"),
        (lambda: plot_losses({}), "needs points"),
        (lambda: plot_losses({"LoRA": []}), r"without points: \['LoRA'\]"),
        (lambda: plot_confusion(np.zeros((2, 2), int), ("a", "b")), "at least one image"),
        (lambda: plot_confusion(np.ones((2, 2), int), LABELS), "does not fit 3 labels"),
        (lambda: plot_intervals([], [], [], []), "at least one name"),
        (lambda: plot_intervals(["a"], [1.0], [None], []), "0 highs"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(FigureError, match=message):
        draw()


@pytest.mark.parametrize(
    ("measured", "reference", "message"),
    [
        ([1.0], [1.0], "agreement needs two or more"),
        ([1.0, 2.0], [1.0], "agreement needs pairs"),
        ([1.0, float("nan")], [1.0, 2.0], "finite values"),
    ],
)
def test_pairs_without_agreement_are_named(measured, reference, message):
    with pytest.raises(ValueError, match=message):
        plot_bland_altman(measured, reference, "mm")


def test_overlays_need_one_to_five_pictures_a_row() -> None:
    for rows in ({}, {"best": []}, {"best": CASES * 2}):
        with pytest.raises(FigureError, match="overlays need one to 5 pictures a row"):
            plot_overlays(rows)


def test_outlines_have_their_colours() -> None:
    """Where both agree the prediction is drawn last; the reference shows where it differs."""
    picture = np.zeros((64, 64), np.uint8)
    drawn = np.asarray(Pil.open(io.BytesIO(plot_overlays({"one": [Overlay(picture, MASKS[0], MASKS[2], "")]}))))
    green = (drawn == (0, 158, 115)).all(axis=-1)
    orange = (drawn == (213, 94, 0)).all(axis=-1)
    assert green.sum() > 300
    assert orange.sum() > 300
