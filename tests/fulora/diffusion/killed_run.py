"""A LoRA training in a process of its own, which kills itself as the kernel would."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.training import train
from fulora.diffusion.training.examples import Examples

STEPS = 12
CONFIG = LoraConfig(
    rank=2,
    alpha=4,
    steps=STEPS,
    batch_size=2,
    flip=True,
    ema_decay=0.9,
    keep="best",
    log_every=3,
    validate_every=6,
    checkpoint_every=4,
    device="cpu",
)


def examples() -> Examples:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (32, 32)).astype(np.uint8) for _ in range(6)]
    return Examples(pictures, ["a photo of fetal brain", "a photo of fetal femur"] * 3)


def run(backbone: Path, out: Path, dies_at: int | None, where: str) -> None:
    """Train; die `before` or `after` step `dies_at`, or in the middle of `writing` the next checkpoint."""
    torch.set_num_threads(1)
    torch.manual_seed(dies_at or 0)
    step, save = train.step, torch.save
    dying = False

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def deadly(learner: Any, cfg: LoraConfig, data: Any, done: int) -> object:
        nonlocal dying
        if done == dies_at and where == "before":
            die()
        norm = step(learner, cfg, data, done)
        if done == dies_at and where == "after":
            die()
        dying = dying or (done == dies_at and where == "writing")
        return norm

    def half(state: object, file: Any) -> None:
        if dying:
            file.write(b"half a checkpoint")
            file.flush()
            die()
        save(state, file)

    train.step, torch.save = deadly, half  # type: ignore[assignment]
    images = examples()
    held_out = Examples(images.pictures[:2], images.captions[:2])
    train.fit(out, CONFIG, load_backbone(backbone), images, validation=held_out)
