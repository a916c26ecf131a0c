"""Embeddings of an image set, made in parts, which several processes or GPUs may share."""

import shutil
from pathlib import Path

import numpy as np
from jaxtyping import Float

from fulora.clip.embed import image_directions
from fulora.clip.model import ClipModel
from fulora.data.embeddings import write_embeddings
from fulora.data.image_set import ImageSet
from fulora.files import atomic_file

PART = 4096
"""Images of a part: a multiple of a CPU's batch, so that embeddings do not depend on the parts."""
FOLDER = "parts"


def part_names(images: ImageSet) -> list[str]:
    """Return the name of each part: the number of its first image."""
    return [f"{first:08d}" for first in range(0, len(images.rows()), PART)]


def make_part(out: Path, name: str, images: ImageSet, model: ClipModel) -> None:
    """Embed the images of one part, unless that was done already."""
    path = _file(out, name)
    if path.is_file():
        return
    first = int(name)
    rows = images.rows()[first : first + PART]
    directions = image_directions(model, len(rows), lambda number: images.pixels(rows[number]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, durable=True, by_several=True) as new:
        np.save(new, directions.numpy())


def join_parts(out: Path, images: ImageSet, model: ClipModel) -> None:
    """Make the parts that are missing, write all embeddings as one file, and remove the parts."""
    names = part_names(images)
    for name in names:
        make_part(out, name, images, model)
    nothing = np.zeros((0, int(model.visual.output_dim)), np.float32)
    parts: list[Float[np.ndarray, "n embed"]] = [np.load(_file(out, name)) for name in names]
    write_embeddings(out, images.rows(), np.concatenate([nothing, *parts]))
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _file(out: Path, name: str) -> Path:
    return out / FOLDER / f"{name}.npy"
