"""Writing the rows of an image set: one file a split, all of them complete or none of them there."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from fulora.data.image import Image


@contextmanager
def rows_written(folder: Path, name: str) -> Iterator[Callable[[Image], None]]:
    """Add rows to the file called `name` of their splits; the files get their names when all went well, else they go.

    Raises:
        OSError: a file cannot be written, for a full disk perhaps.
    """
    files: dict[Path, TextIO] = {}

    def add(row: Image) -> None:
        path = folder / row.split / name
        if path not in files:
            files[path] = path.with_suffix(".new").open("w", encoding="utf-8")
        files[path].write(json.dumps(row.to_json()) + "\n")

    try:
        yield add
        for file in files.values():
            file.close()
        for path in files:
            path.with_suffix(".new").replace(path)
    finally:
        for path, file in files.items():
            with suppress(OSError):  # of a full disk, told already
                file.close()
            path.with_suffix(".new").unlink(missing_ok=True)
