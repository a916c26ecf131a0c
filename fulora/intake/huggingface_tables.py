"""Tables of `datasets`: opened without holding them in memory, and what stands in a row of them, byte by byte.

What `datasets` makes of parquet files, and masks that stand inside a table, lie in a folder of temporary files of this
process, which is gone when it ends.
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
"""Files of what `save_to_disk` wrote."""

ROWS, BUFFER = 16, 1 << 20
"""Rows and bytes of a parquet file that are read together."""

Cell = bytes | str | None
"""A picture of a table: its bytes, or the path of its file."""


@cache
def _temporary() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="fulora-datasets-")


def open_splits(folder: Path, subset: str | None = None) -> dict[str, Any]:
    """The splits of a data set by name, as `datasets.Dataset`, mapped from the disk; nothing is fetched.

    Raises:
        SourceError: no such folder, or nothing that `datasets` can open.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    import datasets

    try:
        if any((folder / name).is_file() for name in ON_DISK):
            found = datasets.load_from_disk(str(folder), keep_in_memory=False)
        else:
            found = _prepared(folder, subset)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise SourceError(
            f"{folder}: datasets cannot open it ({str(error).splitlines()[0]}); read are parquet files, what "
            "save_to_disk writes, and imagefolders"
        ) from error
    return {str(found.split or "train"): found} if isinstance(found, datasets.Dataset) else dict(found)


def _prepared(folder: Path, subset: str | None) -> dict[str, Any]:
    """The splits of parquet files and imagefolders: which files are which split is as `datasets` says.

    Parquet files are copied to arrow batch by batch: its own builder holds a whole group of rows, which may be all.
    """
    import datasets

    builder = datasets.load_dataset_builder(
        str(folder.resolve()),
        subset,
        cache_dir=_temporary().name,
        download_config=datasets.DownloadConfig(local_files_only=True, cache_dir=_temporary().name),
    )
    files = builder.config.data_files or {}
    if all(str(path).endswith(".parquet") for paths in files.values() for path in paths):
        return {str(split): _of_parquet([Path(path) for path in paths]) for split, paths in files.items()}
    builder.download_and_prepare()
    return dict(builder.as_dataset(in_memory=False))


def _of_parquet(files: Sequence[Path]) -> Any:
    """One table of parquet files, mapped from a copy of them."""
    import datasets
    import pyarrow
    from pyarrow import parquet

    made = []
    for path in files:
        copy = Path(tempfile.mkdtemp(dir=_temporary().name)) / "rows.arrow"
        rows = parquet.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)
        with pyarrow.OSFile(str(copy), "wb") as sink, pyarrow.ipc.new_stream(sink, rows.schema_arrow) as writer:
            for batch in rows.iter_batches(batch_size=ROWS):
                writer.write_batch(batch)
        made.append(datasets.Dataset.from_file(str(copy)))
    return datasets.concatenate_datasets(made)


def column_reader(table: Any, column: str, folder: Path) -> Callable[[int], Cell]:
    """What gives the picture of a row, undecoded.

    Raises:
        SourceError: the column is of another type.
    """
    import datasets

    kind = table.features[column]
    if isinstance(kind, datasets.Image):
        table = table.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        return lambda place: _stored(table[place][column])
    if isinstance(kind, datasets.Value) and kind.dtype in ("binary", "large_binary", "string", "large_string"):
        table = table.select_columns([column])
        return lambda place: table[place][column]
    raise SourceError(f"{folder}: column {column} is {kind}; it must hold pictures, as bytes or as names of files")


def _stored(cell: dict[str, Any] | None) -> Cell:
    return None if cell is None else cell["path"] if cell["bytes"] is None else cell["bytes"]


def label_reader(table: Any, column: str, folder: Path) -> Callable[[object], str]:
    """What gives the name of a label.

    Raises:
        SourceError: the column is of another type.
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
    """Pictures of a table of `folder`, as bytes and as files."""

    folder: Path

    def content(self, cell: Cell) -> bytes | None:
        """The bytes of a picture; None where there is none.

        Raises:
            SourceError: its file is not there, or not of this folder.
        """
        if not isinstance(cell, str):
            return cell
        try:
            return self._own(cell).read_bytes()
        except OSError as error:
            raise SourceError(
                f"{self.folder}: its row names {cell}, which cannot be read ({error.strerror})"
            ) from error

    def file(self, cell: Cell, name: str) -> Path | None:
        """The file of a picture, a temporary one of this name where its bytes stand in the table."""
        if not isinstance(cell, bytes):
            return None if cell is None else self._own(cell)
        folder = (
            Path(_temporary().name) / "masks" / hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]
        )
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        path.write_bytes(cell)
        return path

    def _own(self, name: str) -> Path:
        unpacked = Path(name).resolve().is_relative_to(Path(_temporary().name).resolve())  # from an archive of it
        return Path(name) if unpacked else path_within(self.folder, name)
