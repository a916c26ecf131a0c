"""Grids of synthetic images in one file that is marked as synthetic."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil
from PIL import ImageDraw

from fulora.data.column_types import Plane
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.pictures.embedded_metadata import png_info
from fulora.data.pictures.pixels import pixel_digest

GAP_PX = 4
SHOWN = 10
HEIGHT_PX = 128
LABEL_PX = 72


def grid(rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ ..."]]]) -> UInt8[np.ndarray, "_ _ ..."]:
    """Arrange rows of equally many images of one size, all gray or all in colour, with gaps between them."""
    gaps = [(0, GAP_PX), (0, GAP_PX), *[(0, 0)] * (rows[0][0].ndim - 2)]
    padded = [[np.pad(picture, gaps) for picture in row] for row in rows]
    return np.vstack([np.hstack(row) for row in padded])[:-GAP_PX, :-GAP_PX]


def write_marked(path: Path, pixels: UInt8[np.ndarray, "h w *rgb"], *, caption: str, seed: str, generator: str) -> None:
    """Write a PNG of several synthetic images, marked as a synthetic image is."""
    row = Image(
        file_name=path.name,
        image_id=path.stem,
        plane="",
        split="train",
        origin="synthetic",
        source="fulora",
        site="",
        patient="",
        caption=caption,
        seed=seed,
        generator=generator,
        width=pixels.shape[1],
        height=pixels.shape[0],
        sha256=pixel_digest(pixels),
    )
    Pil.fromarray(pixels).save(path, pnginfo=png_info(row))


def write_overview(path: Path, images: ImageSet, planes: Sequence[Plane]) -> None:
    """Write the first images of each class, a row a class, with its name."""
    first: dict[Plane, list[Image]] = {plane: [] for plane in planes}
    for row in images.iter_rows("train"):
        if len(first[row.plane]) < SHOWN:
            first[row.plane].append(row)
        elif all(len(rows) == SHOWN for rows in first.values()):
            break
    rows = [[_label(plane), *(_small(images.pixels(row)) for row in shown)] for plane, shown in first.items()]
    generator = next(iter(first.values()))[0].generator
    write_marked(path, grid(rows), caption="; ".join(planes), seed="overview", generator=generator)


def _small(pixels: UInt8[np.ndarray, "_ _"]) -> UInt8[np.ndarray, "_ _"]:
    height, width = pixels.shape
    size = (max(1, round(width * HEIGHT_PX / height)), HEIGHT_PX)
    return np.asarray(Pil.fromarray(pixels).resize(size, Pil.Resampling.LANCZOS))


def _label(plane: Plane) -> UInt8[np.ndarray, "h w"]:
    label = Pil.new("L", (LABEL_PX, HEIGHT_PX))
    draw = ImageDraw.Draw(label)
    by_width = (wrap(plane, width) for width in range(len(plane), 0, -1))
    lines = next(lines for lines in by_width if max(map(draw.textlength, lines)) <= LABEL_PX - 4 or len(lines[0]) == 1)
    draw.text((4, HEIGHT_PX // 2), "\n".join(lines), fill=255, anchor="lm")
    return np.asarray(label)
