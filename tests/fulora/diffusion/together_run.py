"""A LoRA training by several processes, started by `accelerate launch`: backbone folder, output folder, roll."""

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
    cfg = CONFIG.model_copy(update={"steps": 10, "batch_size": 4, "clip_skip": 2, "validate_every": 5})
    train.fit(out, cfg, load_backbone(backbone), images, validation=held_out, prior=held_out)


if __name__ == "__main__":
    mine = join_processes("cpu")
    (Path(sys.argv[3]) / f"{mine.index} of {mine.count}").touch()
    run(Path(sys.argv[1]), Path(sys.argv[2]))
