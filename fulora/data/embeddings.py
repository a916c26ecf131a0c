"""Embeddings of the images of a set: one unit direction an image, in one file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors.numpy import load_file, save_file

from fulora.data.manifest import Image
from fulora.stage import Artifact

VECTORS, IDS = "embeddings.safetensors", "ids.json"


@dataclass(frozen=True)
class Embeddings(Artifact):
    """Directions of all images of a set in the space of one CLIP."""

    def of(self, rows: Sequence[Image]) -> Float[np.ndarray, "n embed"]:
        """The directions of `rows`, in order.

        Raises:
            ValueError: a row that was not embedded.
        """
        vectors = load_file(self.path / VECTORS)["embeddings"]
        place = {name: number for number, name in enumerate(json.loads((self.path / IDS).read_text(encoding="utf-8")))}
        unknown = [row.image_id for row in rows if row.image_id not in place]
        if unknown:
            raise ValueError(f"{self.path.name}: {len(unknown)} images were not embedded, such as {unknown[0]}")
        found: Float[np.ndarray, "n embed"] = vectors[[place[row.image_id] for row in rows]]
        return found


def write_embeddings(folder: Path, rows: Sequence[Image], vectors: Float[np.ndarray, "n embed"]) -> None:
    """Write the direction of each row."""
    save_file({"embeddings": np.ascontiguousarray(vectors, dtype=np.float32)}, folder / VECTORS)
    (folder / IDS).write_text(json.dumps([row.image_id for row in rows]), encoding="utf-8")
