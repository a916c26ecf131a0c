"""Parameters of a network in groups with and without weight decay."""

from typing import Any

import torch


def weight_decay_groups(
    model: torch.nn.Module, learning_rate: float, weight_decay: float, *, exempt: str | None = None
) -> list[dict[str, Any]]:
    """Groups for an optimizer: weight decay on matrices and filters only.

    Args:
        exempt: part of the names of matrices without decay, such as `embedding`.
    """
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    decayed = {n: p for n, p in learning.items() if p.ndim > 1 and (exempt is None or exempt not in n)}
    rest = [p for name, p in learning.items() if name not in decayed]
    groups = ((list(decayed.values()), weight_decay), (rest, 0.0))
    return [{"params": p, "weight_decay": decay, "base_lr": learning_rate} for p, decay in groups if p]
