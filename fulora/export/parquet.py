"""Parquet as the Hugging Face Hub keeps it: pictures inside, every column typed, opened by `datasets` as it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow
from datasets import ClassLabel, Features, Value
from datasets import Image as Picture
from pyarrow import parquet

from fulora.data.column_types import Split
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.export.card import COLUMNS
from fulora.progress import track

ROWS_A_GROUP = 100
"""Rows that are read, and held in memory, together; what the Hub's viewer wants of image data sets."""

USE = """```python
from datasets import load_dataset

data = load_dataset("path/to/this/folder")
data["train"][0]["image"]  # a PIL image; data["train"].features["label"].names says what a label means
```

Unknown measures and missing masks are null. `data.cast_column("image", datasets.Image(decode=False))` gives the files'
bytes, marks included."""


def write_parquet(images: ImageSet, shards: Mapping[Split, Sequence[Sequence[Image]]], out: Path) -> str:
    """Write `data/<split>-00000-of-0000N.parquet`; returns how they are loaded.

    Columns: `image` and `mask` (bytes of the PNG, and its name; `mask` null where there is none), `label` (class
    number, a place in the label set), and all of `Image`, an unknown measure as null. Every split has the same types.
    """
    labels = images.label_set()
    schema = features(labels).arrow_schema
    texts = [field.name for field in schema if pyarrow.types.is_string(field.type)]
    (out / "data").mkdir()
    for split, parts in shards.items():
        for number, rows in enumerate(parts):
            name = f"{split}-{number:05d}-of-{len(parts):05d}.parquet"
            with parquet.ParquetWriter(out / "data" / name, schema, use_dictionary=texts) as writer:
                for start in track(range(0, len(rows), ROWS_A_GROUP), name):
                    records = [_record(images, labels, row) for row in rows[start : start + ROWS_A_GROUP]]
                    writer.write_table(pyarrow.Table.from_pylist(records, schema=schema))
    return USE


def features(labels: LabelSet) -> Features:
    """Return the columns and their types, as `datasets` names them."""
    types = {name: Value(kind) for name, kind in COLUMNS.items()}
    return Features({"image": Picture(), "mask": Picture(), "label": ClassLabel(names=list(labels.names)), **types})


def _record(images: ImageSet, labels: LabelSet, row: Image) -> dict[str, object]:
    files = {"image": images.path / row.split / row.file_name}
    if row.mask_file:
        files["mask"] = images.path / row.split / row.mask_file
    pictures = {kind: {"bytes": path.read_bytes(), "path": path.name} for kind, path in files.items()}
    return {**pictures, "label": labels.names.index(row.plane), **row.model_dump()}
