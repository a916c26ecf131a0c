"""Images with the outlines of their reference and predicted masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.colors import to_rgb

from fulora.report.figure_canvas import COLOURS, INK, PIXELS_PER_INCH, FigureError, drawing

TILE, LABEL, GAP, CAPTION, TOP = 420, 300, 12, 48, 64
REFERENCE, PREDICTION = COLOURS[2], COLOURS[1]
MAX_COLUMNS = 5


@dataclass(frozen=True)
class Overlay:
    """An image (gray, 0 to 255), its two masks of class numbers, and its caption."""

    pixels: UInt8[np.ndarray, "h w"]
    reference: UInt8[np.ndarray, "h w"]
    prediction: UInt8[np.ndarray, "h w"]
    caption: str


def plot_overlays(rows: Mapping[str, Sequence[Overlay]]) -> bytes:
    """Labelled rows of pictures; the reference's outline green, the prediction's orange.

    Raises:
        FigureError: if there are no rows, or a row has no images or more than five.
    """
    wrong = [name for name, pictures in rows.items() if not 0 < len(pictures) <= MAX_COLUMNS]
    if not rows or wrong:
        raise FigureError(f"overlays need one to {MAX_COLUMNS} pictures a row; these have not: {wrong or 'no rows'}")
    columns = max(map(len, rows.values()))
    width, height = LABEL + columns * (TILE + GAP), TOP + len(rows) * (TILE + CAPTION)
    paper = np.full((height, width, 3), 255, np.uint8)
    with drawing(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH, layout=None) as canvas:
        axes = canvas.axes
        axes.set_axis_off()
        for line, (name, pictures) in enumerate(rows.items()):
            top = TOP + line * (TILE + CAPTION)
            axes.text(LABEL - 24, top + TILE / 2, name, ha="right", va="center", fontsize=10.5)
            for column, picture in enumerate(pictures):
                left = LABEL + column * (TILE + GAP)
                paper[top : top + TILE, left : left + TILE] = _tile(picture)
                axes.text(left, top + TILE + 8, picture.caption, ha="left", va="top", fontsize=8.5, color=INK)
        axes.text(LABEL, TOP / 2, "reference", color=REFERENCE, va="center", fontweight="bold")
        axes.text(LABEL + 200, TOP / 2, "prediction", color=PREDICTION, va="center", fontweight="bold")
        axes.imshow(paper, interpolation="none", aspect="auto", extent=(0, width, height, 0))
    return canvas.png


def _tile(picture: Overlay) -> UInt8[np.ndarray, "side side 3"]:
    height, width = picture.pixels.shape
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    large = cv2.cvtColor(cv2.resize(picture.pixels, size, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB)
    for mask, colour in ((picture.reference, REFERENCE), (picture.prediction, PREDICTION)):
        for label in range(1, int(mask.max(initial=0)) + 1):
            grown = cv2.resize((mask == label).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            outlines, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(large, outlines, -1, tuple(round(255 * part) for part in to_rgb(colour)), 2, cv2.LINE_AA)
    square = np.zeros((TILE, TILE, 3), np.uint8)
    y, x = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    square[y : y + size[1], x : x + size[0]] = large
    return square
