"""Tables of `datasets`: opened without loading them into memory, with readers of single rows.

The cache of `datasets`, and masks that are stored inside a table, are written to a temporary folder of this process,
which is deleted when it ends.
"""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fulora.intake.raw_image import SourceError, path_within

ON_DISK = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes."""

ROWS, BUFFER = 16, 1 << 20
"""Rows and bytes of a parquet file that are read at once."""

Cell = bytes | str | None
"""A picture of a table: its bytes, or the path of its file."""


@cache
def _temporary() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="fulora-datasets-")


def open_splits(folder: Path, subset: str | None = None) -> dict[str, Any]:
    """Return the splits of a data set by name, as memory-mapped `datasets.Dataset`; nothing is downloaded.

    Raises:
        SourceError: if there is no such folder, or `datasets` cannot open it.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    import datasets

    try:
        if any((folder / name).is_file() for name in ON_DISK):
            loaded = datasets.load_from_disk(str(folder), keep_in_memory=False)
        else:
            loaded = _prepare(folder, subset)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise SourceError(
            f"{folder}: datasets cannot open it ({str(error).splitlines()[0]}); supported are parquet files, "
            "folders of save_to_disk, and imagefolders"
        ) from error
    return {str(loaded.split or "train"): loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded)


def _prepare(folder: Path, subset: str | None) -> dict[str, Any]:
    """Return the splits of a folder; `datasets` itself loads whole row groups of parquet files, so they are copied."""
    import datasets

    builder = datasets.load_dataset_builder(
        str(folder.resolve()),
        subset,
        cache_dir=_temporary().name,
        download_config=datasets.DownloadConfig(local_files_only=True, cache_dir=_temporary().name),
    )
    files = builder.config.data_files or {}
    if all(str(path).endswith(".parquet") for paths in files.values() for path in paths):
        return {str(split): _open_parquet([Path(path) for path in paths]) for split, paths in files.items()}
    builder.download_and_prepare()
    return dict(builder.as_dataset(in_memory=False))


def _open_parquet(files: Sequence[Path]) -> Any:
    import datasets
    import pyarrow
    from pyarrow import parquet

    tables = []
    for path in files:
        copy = Path(tempfile.mkdtemp(dir=_temporary().name)) / "rows.arrow"
        rows = parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)
        with pyarrow.OSFile(str(copy), "wb") as sink, pyarrow.ipc.new_stream(sink, rows.schema_arrow) as writer:
            for batch in rows.iter_batches(batch_size=ROWS):
                writer.write_batch(batch)
        tables.append(datasets.Dataset.from_file(str(copy)))
    return datasets.concatenate_datasets(tables)


def column_reader(table: Any, column: str, folder: Path) -> Callable[[int], Cell]:
    """Return a function from a row number to its picture, undecoded.

    Raises:
        SourceError: if the column holds no pictures.
    """
    import datasets

    kind = table.features[column]
    if isinstance(kind, datasets.Image):
        table = table.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        return lambda number: _stored(table[number][column])
    if isinstance(kind, datasets.Value) and kind.dtype in ("binary", "large_binary", "string", "large_string"):
        table = table.select_columns([column])
        return lambda number: table[number][column]
    raise SourceError(f"{folder}: column {column} is {kind}; it must hold pictures, as bytes or as file names")


def _stored(cell: dict[str, Any] | None) -> Cell:
    return None if cell is None else cell["path"] if cell["bytes"] is None else cell["bytes"]


def label_reader(table: Any, column: str, folder: Path) -> Callable[[object], str]:
    """Return a function from a value of the column to the name of its class.

    Raises:
        SourceError: if the column holds neither ClassLabel nor text.
    """
    import datasets

    kind = table.features[column]
    if isinstance(kind, datasets.ClassLabel):
        names = kind.names
        return lambda value: names[value] if isinstance(value, int) and 0 <= value < len(names) else ""
    if isinstance(kind, datasets.Value) and kind.dtype in ("string", "large_string"):
        return lambda value: "" if value is None else str(value).strip()
    raise SourceError(
        f"{folder}: column {column} is {kind}; a class is a ClassLabel or text: cast it, "
        "dataset.cast_column(..., datasets.ClassLabel(names=[...]))"
    )


@dataclass(frozen=True)
class TableFiles:
    """Access to the pictures of a table of `folder`, as bytes and as files."""

    folder: Path

    def content(self, cell: Cell) -> bytes | None:
        """Return the bytes of a picture; None where there is none.

        Raises:
            SourceError: if its file does not exist, or is outside of the folder.
        """
        if not isinstance(cell, str):
            return cell
        try:
            return self._resolve(cell).read_bytes()
        except OSError as error:
            raise SourceError(f"{self.folder}: a row names {cell}, which cannot be read ({error.strerror})") from error

    def file(self, cell: Cell, name: str) -> Path | None:
        """Return the file of a picture; a temporary one of this name if its bytes are stored in the table."""
        if not isinstance(cell, bytes):
            return None if cell is None else self._resolve(cell)
        digest = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]
        folder = Path(_temporary().name) / "masks" / digest
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        path.write_bytes(cell)
        return path

    def _resolve(self, name: str) -> Path:
        unpacked = Path(name).resolve().is_relative_to(Path(_temporary().name).resolve())  # from an archive
        return Path(name) if unpacked else path_within(self.folder, name)
