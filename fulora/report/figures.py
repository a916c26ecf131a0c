"""Figures of a report as PNG bytes: the same input gives the same bytes."""

import io
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter
from PIL import Image as Pil

from fulora.biometry.agreement import agreement
from fulora.report.figure_canvas import COLOURS, MUTED, PIXELS_PER_INCH, FigureError, drawing, legend_label
from fulora.report.number_format import format_number

IMAGES_PER_LINE = 10
GRID_WIDTH_PX, LABEL_WIDTH_PX, GAP_PX, ROW_GAP_PX = 2200, 250, 8, 20
TILE_PX = (194, 380)

Images = Sequence[UInt8[np.ndarray, "_ _"]]


def plot_image_grid(rows: Mapping[str, Images]) -> bytes:
    """Plot images in labelled rows.

    Args:
        rows: images by label, (height, width) gray, 0 to 255, of any size. They keep their aspect ratio and are resized
            (bicubic) to one tile size; more than `IMAGES_PER_LINE` continue on the next line.

    Raises:
        FigureError: if there are no rows, or a row has no images.
    """
    empty = [label for label, images in rows.items() if len(images) == 0]
    if not rows or empty:
        raise FigureError(f"an image grid needs images in every row; without images: {empty or 'all'}")
    lines = [
        (label if start == 0 else "", images[start : start + IMAGES_PER_LINE])
        for label, images in rows.items()
        for start in range(0, len(images), IMAGES_PER_LINE)
    ]
    columns = max(len(images) for _, images in lines)
    tile = int(np.clip((GRID_WIDTH_PX - LABEL_WIDTH_PX) // columns - GAP_PX, *TILE_PX))
    tops, bottom = _line_tops([label for label, _ in lines], tile)
    paper = np.full((bottom, LABEL_WIDTH_PX + columns * (tile + GAP_PX) - GAP_PX), 255, np.uint8)
    for y, (_, images) in zip(tops, lines, strict=True):
        for number, image in enumerate(images):
            x = LABEL_WIDTH_PX + number * (tile + GAP_PX)
            paper[y : y + tile, x : x + tile] = _tile(image, tile)
    return _labelled(paper, {y + tile / 2: label for y, (label, _) in zip(tops, lines, strict=True)})


def _line_tops(labels: Sequence[str], tile: int) -> tuple[list[int], int]:
    tops, y = [], 0
    for number, label in enumerate(labels):
        y += 0 if number == 0 else (ROW_GAP_PX if label else GAP_PX)
        tops.append(y)
        y += tile
    return tops, y


def _tile(image: UInt8[np.ndarray, "_ _"], side: int) -> UInt8[np.ndarray, "side side"]:
    height, width = image.shape
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    square = Pil.new("L", (side, side))
    resized = Pil.fromarray(image).resize(size, Pil.Resampling.BICUBIC)
    square.paste(resized, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(square)


def _labelled(paper: UInt8[np.ndarray, "h w"], labels: Mapping[float, str]) -> bytes:
    """Return the paper as PNG with labels at its left, of which alone matplotlib draws the pixels."""
    height = len(paper)
    with drawing(LABEL_WIDTH_PX / PIXELS_PER_INCH, height / PIXELS_PER_INCH, layout=None, mode="L") as canvas:
        axes = canvas.axes
        axes.set_axis_off()
        axes.set(xlim=(0, LABEL_WIDTH_PX), ylim=(height, 0))
        for y, label in labels.items():
            text = "\n".join(textwrap.wrap(label, 15, break_long_words=True)[:6])
            axes.text(LABEL_WIDTH_PX - 24, y, text, ha="right", va="center", fontsize=10.5, linespacing=1.35)
    sheet = Pil.fromarray(paper)
    sheet.paste(Pil.open(io.BytesIO(canvas.png)), (0, 0))
    stream = io.BytesIO()
    sheet.save(stream, format="PNG")
    return stream.getvalue()


def plot_losses(curves: Mapping[str, Sequence[tuple[int, float]]], title: str = "") -> bytes:
    """Plot losses over training steps; a curve of 50 points or more also has its running mean, in bold.

    Args:
        curves: (step, loss) points by name, in order.

    Raises:
        FigureError: if there are no curves, or one has no points.
    """
    empty = [name for name, points in curves.items() if len(points) == 0]
    if not curves or empty:
        raise FigureError(f"a loss figure needs points in every curve; without points: {empty or 'all'}")
    with drawing(9.0, 4.0) as canvas:
        axes = canvas.axes
        for number, (name, points) in enumerate(curves.items()):
            _plot_loss(axes, name, np.asarray(points, dtype=float), number)
        losses = np.asarray([loss for points in curves.values() for _, loss in points], dtype=float)
        if losses.min() > 0 and losses.max() > 30 * losses.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="step", ylabel="loss", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)
    return canvas.png


def _plot_loss(axes: Axes, name: str, points: Float[np.ndarray, "n 2"], number: int) -> None:
    colour, dash = COLOURS[number % len(COLOURS)], ("-", "--", ":")[number // len(COLOURS) % 3]
    steps, losses = points.T
    if len(points) >= 50:
        window = len(points) // 25
        axes.plot(steps, losses, color=colour, alpha=0.22, linewidth=0.8)
        steps, losses = (np.convolve(values, np.ones(window) / window, mode="valid") for values in (steps, losses))
        name = f"{name} (running mean, {window})"
    marker = "o" if len(points) < 8 else ""
    axes.plot(steps, losses, color=colour, linestyle=dash, linewidth=2, label=legend_label(name), marker=marker)


def plot_bland_altman(measured: Sequence[float], reference: Sequence[float], unit: str, title: str = "") -> bytes:
    """Plot the difference (measured - reference) over the mean of the two, with bias and 95 % limits of agreement.

    Raises:
        ValueError: if these are not two or more pairs, or as `fulora.biometry.agreement.agreement`.
    """
    if len(measured) != len(reference):
        raise ValueError(f"agreement needs pairs, and these are {len(measured)} and {len(reference)} values")
    result = agreement(list(zip(measured, reference, strict=True)))
    if result is None:
        raise ValueError(f"agreement needs two or more pairs, and there are {len(measured)}")
    first, second = np.asarray(measured, dtype=float), np.asarray(reference, dtype=float)
    lines = (
        (result.high, "+1.96 SD", "--", "bottom"),
        (result.bias, "bias", "-", "center"),
        (result.low, "−1.96 SD", "--", "top"),
    )
    with drawing(9.0, 4.6) as canvas:
        axes = canvas.axes
        axes.axhspan(result.low, result.high, color=COLOURS[0], alpha=0.06, linewidth=0)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.scatter((first + second) / 2, first - second, s=26, color=COLOURS[0], alpha=0.6, linewidths=0, zorder=3)
        for value, name, dash, place in lines:
            axes.axhline(value, color=COLOURS[1], linestyle=dash, linewidth=1.6)
            text = f" {name}  {format_number(value, unit=unit)[0]} {unit}"
            side = axes.get_yaxis_transform()
            axes.text(1.0, value, text, transform=side, va=place, color="#a34700", fontweight="bold")
        axes.set(xlabel=f"mean of measured and reference ({unit})", title=title)
        axes.set_ylabel(f"measured − reference ({unit})")
        axes.margins(y=0.12)
        axes.annotate(f"n = {result.n:,}", (0.01, 0.97), xycoords="axes fraction", va="top", color=MUTED)
    return canvas.png


def plot_intervals(
    names: Sequence[str],
    values: Sequence[float],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    *,
    title: str = "",
    unit: str = "1",
    quantity: str = "",
    baseline: float | None = None,
    baseline_name: str = "",
) -> bytes:
    """Plot values with their intervals, a line per name from the top, and their numbers on the right.

    Args:
        unit: of the values; "1" without a unit.
        quantity: the name of the values, such as `macro F1`.
        baseline: a reference value, drawn as a dashed line with its name.

    Raises:
        FigureError: if there are no names, or sequences differ in length.
    """
    if not names or not len(names) == len(values) == len(lows) == len(highs):
        given = f"{len(names)} names, {len(values)} values, {len(lows)} lows, {len(highs)} highs"
        raise FigureError(f"an interval figure needs a value, low and high for each of at least one name, not {given}")
    with drawing(9.0, 1.1 + (0.4 if title else 0) + 0.42 * len(names)) as canvas:
        axes = canvas.axes
        for line, (value, low, high) in enumerate(zip(values, lows, highs, strict=True)):
            left, right = value if low is None else low, value if high is None else high
            axes.hlines(line, left, right, color=COLOURS[0], linewidth=3, alpha=0.5)
            axes.plot(value, line, "o", color=COLOURS[0], markersize=8, markeredgecolor="white", zorder=4)
            text = " ".join(format_number(value, low, high, unit=unit))
            axes.text(1.03, line, text, transform=axes.get_yaxis_transform(), va="center")
        if baseline is not None:
            axes.axvline(baseline, color=COLOURS[1], linestyle="--", linewidth=1.4)
            side = axes.get_xaxis_transform()
            axes.text(baseline, 1.0, baseline_name, transform=side, ha="center", va="bottom", color="#a34700")
        axes.set_yticks(range(len(names)), [textwrap.fill(name, 34) for name in names])
        label = quantity + (f" ({unit})" if unit != "1" else "")
        axes.set(xlabel=label, title=title, ylim=(len(names) - 0.4, -0.6), xmargin=0.08)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
    return canvas.png
