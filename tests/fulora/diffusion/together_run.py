"""A LoRA training by several processes, forked or started by `accelerate launch`: backbone, output folder, roll."""

import os
import sys
from pathlib import Path

import torch
from killed_run import CONFIG, examples

from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.training import train
from fulora.diffusion.training.examples import Examples
from fulora.training.processes import join_processes


def run(backbone: Path, out: Path) -> None:
    torch.set_num_threads(1)
    images = examples()
    held_out = Examples(images.pictures[:2], images.captions[:2])
    cfg = CONFIG.model_copy(update={"steps": 6, "batch_size": 4, "clip_skip": 2, "validate_every": 3})
    train.fit(out, cfg, load_backbone(backbone), images, validation=held_out, prior=held_out)


def join(backbone: Path, out: Path, roll: Path) -> None:
    mine = join_processes("cpu")
    (roll / f"{mine.index} of {mine.count}").touch()
    run(backbone, out)


def forked(index: int, port: int, backbone: Path, out: Path, roll: Path) -> None:
    """One of two processes, with the environment that `accelerate launch` gives it."""
    os.environ |= {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    join(backbone, out, roll)


if __name__ == "__main__":
    join(*map(Path, sys.argv[1:]))
