"""Sets drawn onto disks that are too small, and on after they have grown. Needs a mount namespace of its own.

Arguments: backbone folder, mount point, a folder with the set as it is drawn on a disk that is large enough.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from generation_run import job, tree
from PIL import Image as Pil

from fulora import progress
from fulora.diffusion.sets import job as jobs
from fulora.diffusion.sets.generation import generate_set
from fulora.diffusion.sets.shards import read_shard, shards_of
from fulora.engine import InProcess
from fulora.files import DiskFullError

PAGE_KB = 4
PER_CLASS = 4


def mount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)


def filled(backbone: Path, disk: Path, size_kb: int, whole: dict[str, bytes]) -> int:
    """Draw onto a disk of a size, and on when it has grown; how many shards were there when it was full."""
    mount(disk, f"size={size_kb}k")
    mine = job(backbone, disk / "set", per_class=PER_CLASS)
    with pytest.raises(DiskFullError, match="the disk is full; all complete shards are kept"):
        generate_set(mine, InProcess())
    there = [shard for shard in shards_of(mine.cfg) if shard.folder(mine.out).exists()]
    for shard in there:
        for row in read_shard(shard, mine.out).rows:
            with Pil.open(mine.out / "train" / row.file_name) as image:
                image.load()
    found = {name: content for name, content in tree(disk / "set").items() if not name.startswith(".work")}
    assert found.items() <= whole.items(), sorted(found.keys() - whole.keys())
    assert not [name for name in tree(disk / "set") if name.startswith((".work/brain", ".work/femur"))]
    mount(disk, "remount,size=4m")
    assert generate_set(mine, InProcess()) == []
    assert tree(disk / "set") == whole
    subprocess.run(["umount", str(disk)], check=True)
    return len(there)


def run(backbone: Path, disk: Path, whole: dict[str, bytes]) -> None:
    """All sizes from one page to what a whole set takes, in steps of three pages."""
    pages = sum(-(-len(content) // (PAGE_KB * 1024)) for content in whole.values())
    counts = [filled(backbone, disk, PAGE_KB * size, whole) for size in range(1, pages, 3)]
    print(len(counts), counts)
    assert counts == sorted(counts)
    shards = shards_of(job(backbone, disk, per_class=PER_CLASS).cfg)
    assert {0, 1, len(shards)} <= set(counts)  # at the first, and when all are complete


if __name__ == "__main__":
    torch.set_num_threads(1)
    progress.show(False)
    jobs.commit = lambda: ""  # type: ignore[assignment]
    run(Path(sys.argv[1]), Path(sys.argv[2]), tree(Path(sys.argv[3])))
