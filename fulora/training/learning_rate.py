"""Learning rate schedules."""

import math

import torch


def cosine_rate(step: int, steps: int, *, warmup: int = 0) -> float:
    """Return the factor on the learning rate: linear warm-up, then a half cosine to 0 (Loshchilov 2017)."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to its `base_lr` times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
