"""Writes the rows of an image set: one file for each split. If writing fails, no file is left."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from fulora.data.image import Image
from fulora.files import atomic_file


@contextmanager
def row_writer(folder: Path, name: str) -> Iterator[Callable[[Image], None]]:
    """Return a function that appends a row to the file `name` in the folder of its split, `folder/SPLIT/name`.

    The files are written under temporary names. They are renamed when the block ends, and removed if it raises.

    Raises:
        OSError: if a file cannot be written, such as on a full disk.
    """
    files: dict[Path, TextIO] = {}
    with ExitStack() as stack:

        def add(row: Image) -> None:
            path = folder / row.split / name
            if path not in files:
                new = stack.enter_context(atomic_file(path))
                files[path] = stack.enter_context(new.open("w", encoding="utf-8"))
            files[path].write(json.dumps(row.to_json()) + "\n")

        yield add
        for file in files.values():  # before any is renamed: closing fails on a full disk
            file.close()
