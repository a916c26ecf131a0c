"""Embeddings of the images of a set: one unit vector an image, in one file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fulora.data.image import Image
from fulora.files import atomic_file
from fulora.json_files import DamagedFileError, read_json
from fulora.stage import Artifact

VECTORS, IDS = "embeddings.safetensors", "ids.json"


@dataclass(frozen=True)
class Embeddings(Artifact):
    """Unit vectors of all images of a set in the space of one CLIP."""

    def of(self, rows: Sequence[Image]) -> Float[np.ndarray, "n embed"]:
        """Return the vectors of `rows`, in order.

        Raises:
            ValueError: if a row was not embedded.
            DamagedFileError: if a file is missing, damaged, or does not fit the other.
        """
        vectors, ids = self._vectors(), read_json(self.path / IDS, list[str])
        if vectors.ndim != 2 or len(vectors) != len(ids):
            raise DamagedFileError(f"{self.path / VECTORS}: holds {vectors.shape} numbers for {len(ids)} ids of {IDS}")
        place = {name: number for number, name in enumerate(ids)}
        unknown = [row.image_id for row in rows if row.image_id not in place]
        if unknown:
            raise ValueError(f"{self.path.name}: {len(unknown)} images were not embedded, such as {unknown[0]}")
        found: Float[np.ndarray, "n embed"] = vectors[[place[row.image_id] for row in rows]]
        return found

    def _vectors(self) -> Float[np.ndarray, "n embed"]:
        path = self.path / VECTORS
        try:
            found: Float[np.ndarray, "n embed"] = load_file(path)["embeddings"]
        except (OSError, KeyError, SafetensorError) as error:
            raise DamagedFileError(f"{path}: the embeddings cannot be read ({error})") from error
        return found


def write_embeddings(folder: Path, rows: Sequence[Image], vectors: Float[np.ndarray, "n embed"]) -> None:
    """Write the vector of each row."""
    with atomic_file(folder / VECTORS) as new:
        save_file({"embeddings": np.ascontiguousarray(vectors, dtype=np.float32)}, new)
    (folder / IDS).write_text(json.dumps([row.image_id for row in rows]), encoding="utf-8")
