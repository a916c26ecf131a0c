"""Writing the rows of an image set: one file a split, all of them complete or none of them there."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from fulora.data.image import Image
from fulora.files import atomic_file


@contextmanager
def rows_written(folder: Path, name: str) -> Iterator[Callable[[Image], None]]:
    """Add rows to the file called `name` of their splits; the files get their names when all went well, else they go.

    Raises:
        OSError: a file cannot be written, for a full disk perhaps.
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
        for file in files.values():  # before any gets its name: the disk may be full
            file.close()
