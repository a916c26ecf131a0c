"""Moving averages of weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class MovingAverage:
    """An exponential moving average of a module's parameters; its decay ramps up as (1 + n) / (10 + n)."""

    def __init__(self, parameters: list[torch.nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.values = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self, parameters: list[torch.nn.Parameter], step: int) -> None:
        """Move the average towards the parameters after `step` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, parameter in zip(self.values, parameters, strict=True):
            average.lerp_(parameter.detach(), 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """The averages, in the order of the parameters."""
        return {"values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        copy_into(self.values, state["values"])


@contextmanager
def use_average(average: MovingAverage | None, parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Put the moving average, if any, into the parameters while the context is active."""
    if average is None:
        yield
        return
    current = [parameter.detach().clone() for parameter in parameters]
    copy_into(parameters, average.values)
    try:
        yield
    finally:
        copy_into(parameters, current)


@torch.no_grad()
def copy_into(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy each value into the tensor, such as a parameter, at its place."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
