"""Moving averages of weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


@contextmanager
def use_average(average: MovingAverage | None, parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Inside, the parameters are their moving average, where there is one."""
    if average is None:
        yield
        return
    mine = [parameter.detach().clone() for parameter in parameters]
    copy_into(parameters, average.values)
    try:
        yield
    finally:
        copy_into(parameters, mine)


@torch.no_grad()
def copy_into(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values into tensors, such as parameters, one into each."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
