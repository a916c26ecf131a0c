"""Shards of a set: fixed runs of consecutive images, which any process may make, in any order.

A shard is a folder under `train/images`, which exists when it is complete. Unfinished ones are under `.work`, with the
locks of all shards.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fulora.config import Config
from fulora.data.column_types import Plane
from fulora.data.image import Image
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.diffusion.sets.blank_images import Fault
from fulora.files import locked, move_into_place, scratch_folder, sync
from fulora.json_files import parse_json

IMAGES = Path("train") / "images"
WORK = ".work"
SHARD_RECORD = "shard.json"


class ShardError(ValueError):
    """A part of the work is not valid, or a shard cannot be read."""


@dataclass(frozen=True)
class Shard:
    """Images `first` to `last` (not included) of a plane."""

    plane: Plane
    number: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """The name of its folder, such as `kidney-00003`."""
        return f"{self.plane}-{self.number:05d}"

    def __len__(self) -> int:
        return self.last - self.first

    def folder(self, out: Path) -> Path:
        """Return the folder of the complete shard."""
        return out / IMAGES / self.name

    def is_complete(self, out: Path) -> bool:
        """Return whether the shard is complete; False also for that of a smaller set, with fewer of its images."""
        folder = self.folder(out)
        if not (folder / SHARD_RECORD).is_file():
            return False
        is_full = len(os.listdir(folder)) > len(self)  # quicker than the record, which counts if a picture is missing
        return is_full or len(read_shard(self, out).rows) >= len(self)


class RejectedImage(Config):
    """An image that was generated and not kept."""

    index: int
    attempt: int
    fault: Fault


class ShardRecord(Config):
    """`shard.json`: the rows of a shard's images in order, and the rejected images."""

    rows: tuple[Image, ...]
    rejected: tuple[RejectedImage, ...]


def shards_of(cfg: SamplingConfig) -> list[Shard]:
    """Return all shards of a set, class after class. More images a class leave all full shards as they are."""
    size = cfg.batch_size * cfg.shard_batches
    return [
        Shard(plane, number, first, min(first + size, cfg.per_class))
        for plane in cfg.planes
        for number, first in enumerate(range(0, cfg.per_class, size))
    ]


def part_of(shards: Sequence[Shard], part: tuple[int, int]) -> list[Shard]:
    """Return the shards of part i of n: every n-th one, from the i-th on, counted from 0.

    Raises:
        ShardError: if i is not below n.
    """
    index, count = part
    if not 0 <= index < count:
        raise ShardError(f"shard {index}/{count}: the first number counts from 0 and is below the second")
    return list(shards[index::count])


def read_shard(shard: Shard, out: Path) -> ShardRecord:
    """Read the record of a complete shard.

    Raises:
        ShardError: if it is missing or damaged.
    """
    path = shard.folder(out) / SHARD_RECORD
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
        rows = tuple(Image.from_json(row) for row in record["rows"])
        return ShardRecord(rows=rows, rejected=tuple(RejectedImage.model_validate(each) for each in record["rejected"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{path}: cannot be read ({error}); remove its folder, and the shard is made again") from error


def write_record(folder: Path, record: ShardRecord) -> None:
    """Write `shard.json` and force the folder with all that is in it to the disk."""
    rows = [row.to_json() for row in record.rows]
    text = json.dumps({"rows": rows, "rejected": [each.model_dump() for each in record.rejected]}, indent=1)
    (folder / SHARD_RECORD).write_text(text, encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        sync(path)


def claimed(out: Path, name: str, *, wait: bool) -> AbstractContextManager[bool]:
    """Hold the lock of a shard, or of another part of the work, as `fulora.files.locked`."""
    return locked(out / WORK / "locks" / name, wait)


@contextmanager
def scratch(shard: Shard, out: Path) -> Iterator[Path]:
    """An empty folder to make a shard in, which becomes the shard when the block succeeds and is removed when not.

    A shard that is made anew, for one of its images is a duplicate, is replaced. Hold the shard's lock.
    """
    with scratch_folder(out / WORK / shard.name) as work:
        yield work
        move_into_place(work, shard.folder(out))
