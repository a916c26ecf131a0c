"""WebDataset: plain tar files that are read from front to back, one sample a run of files with one key."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from fulora.data.column_types import Split
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.progress import track

USE = """```python
import glob
import webdataset

data = webdataset.WebDataset(sorted(glob.glob("path/to/this/folder/train-*.tar")), shardshuffle=False)
sample = next(iter(data.decode("pil")))  # its "png", "json", "cls", "txt", and "mask.png" where there is one
```

`cls` is the line of `classnames.txt`, counted from 0. A key is the `image_id`, percent-encoded where readers would
misread it: `urllib.parse.unquote` gives the id back. `datasets.load_dataset("path/to/this/folder")`
opens it too."""


def write_webdataset(images: ImageSet, shards: Mapping[Split, Sequence[Sequence[Image]]], out: Path) -> str:
    """Write `<split>-000000.tar` and so on, and `classnames.txt`; returns how they are loaded.

    Of each image: `png`, `mask.png` where it has one, `json` (the row, an unknown measure as null), `cls` (class
    number) and `txt` (caption).
    """
    labels = images.label_set()
    (out / "classnames.txt").write_text("\n".join(labels.names) + "\n", encoding="utf-8")
    for split, parts in shards.items():
        for number, rows in enumerate(parts):
            name = f"{split}-{number:06d}.tar"
            with tarfile.open(out / name, "w", format=tarfile.PAX_FORMAT) as tar:
                for row in track(rows, name):
                    for ending, content in _members(images, labels, row):
                        member = tarfile.TarInfo(f"{sample_key(row.image_id)}.{ending}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
    return USE


def sample_key(image_id: str) -> str:
    """Return an id as a key: unique, ASCII, without dots and slashes, at which readers cut names.

    It does not begin with `_`, because `datasets` skips files that begin with two.
    """
    key = quote(image_id, safe="").replace(".", "%2E")
    return f"%5F{key[1:]}" if key.startswith("_") else key


def _members(images: ImageSet, labels: LabelSet, row: Image) -> Iterator[tuple[str, bytes]]:
    folder = images.path / row.split
    yield "cls", str(labels.names.index(row.plane)).encode()
    yield "json", json.dumps(row.model_dump(), ensure_ascii=False).encode()
    if row.mask_file:
        yield "mask.png", (folder / row.mask_file).read_bytes()
    yield "png", (folder / row.file_name).read_bytes()
    yield "txt", row.caption.encode()
