"""Identities of the pictures of a folder that a model is tested on, for the leak check."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import ImageSet
from fulora.data.leak_check import ImageIdentity
from fulora.data.pictures.pixels import pixel_digest


def identify_files(
    folder: Path, files: Mapping[str, Path], read: Callable[[Path], UInt8[np.ndarray, "h w"]]
) -> list[ImageIdentity]:
    """Return the identities of files: by their rows if the folder is an image set, else by their pixels alone.

    Args:
        files: under `folder`, by their names in messages.
        read: returns the gray pixels of a file.
    """
    rows = _rows_by_file(folder)
    return [
        ImageIdentity.of(rows[path]) if path in rows else ImageIdentity(name, pixel_digest(read(path)))
        for name, path in files.items()
    ]


def _rows_by_file(folder: Path) -> dict[Path, Image]:
    with suppress(ImageSetError):  # an imagefolder of another program
        return {folder / row.split / row.file_name: row for row in ImageSet(folder, "").iter_rows()}
    return {}
