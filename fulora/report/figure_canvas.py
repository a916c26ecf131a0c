"""The drawing surface of the report's figures: style, size, and PNG bytes that depend on nothing else.

Drawn on `Figure` objects without pyplot, at two pixels for each pixel of the page, so that they stay sharp on a good
screen. Colours are those of Okabe and Ito (2008), which colour-blind readers can distinguish.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as Pil

PIXELS_PER_INCH = 200
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, MUTED, FAINT = "#1f2933", "#5f6b7a", "#e3e7ec"

Layout = Literal["constrained"] | None
Mode = Literal["RGB", "L"]

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


class FigureError(ValueError):
    """A figure that cannot be plotted from the given values."""


class Canvas:
    """A figure with one pair of axes, and its PNG bytes once `draw` is called."""

    def __init__(self, width: float, height: float, *, layout: Layout) -> None:
        self.figure = Figure(figsize=(width, height), dpi=PIXELS_PER_INCH, layout=layout, facecolor="white")
        self.axes: Axes = self.figure.add_subplot() if layout else self.figure.add_axes((0, 0, 1, 1))
        self.png = b""

    def draw(self, mode: Mode) -> None:
        """Make the PNG bytes, in colour or in gray."""
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        pixels = Pil.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).convert(mode)
        stream = io.BytesIO()
        pixels.save(stream, format="PNG")
        self.png = stream.getvalue()


def legend_label(name: str) -> str:
    """Return a name for a legend, which omits names that begin with `_`."""
    return f" {name}" if name.startswith("_") else name


def join_pictures(columns: Sequence[Sequence[bytes]], gap_px: int = 0) -> bytes:
    """Put PNGs on one white sheet: columns from the left, `gap_px` apart, each from the top down."""
    panels = [[Pil.open(io.BytesIO(png)) for png in column] for column in columns if column]
    widths = [max(panel.width for panel in column) for column in panels]
    height = max(sum(panel.height for panel in column) for column in panels)
    sheet, x = Pil.new("RGB", (sum(widths) + gap_px * (len(widths) - 1), height), "white"), 0
    for column, width in zip(panels, widths, strict=True):
        y = 0
        for panel in column:
            sheet.paste(panel, (x, y))
            y += panel.height
        x += width + gap_px
    stream = io.BytesIO()
    sheet.save(stream, format="PNG")
    return stream.getvalue()


@contextmanager
def drawing(width: float, height: float, *, layout: Layout = "constrained", mode: Mode = "RGB") -> Iterator[Canvas]:
    """Yield axes of `width` x `height` inches (100 page pixels each) in the report's style; drawn when the block ends.

    Without a layout the axes cover the whole figure. A character that the font lacks is drawn as a box.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        canvas = Canvas(width, height, layout=layout)
        yield canvas
        canvas.draw(mode)
