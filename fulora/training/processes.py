"""The processes that train together, one per GPU, as `accelerate launch` starts them, or a single one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor

from fulora.training.devices import pick_device


@dataclass(frozen=True)
class Processes:
    """This process among all that train together.

    All draw the same batch and each computes a slice of it, so that their number changes only the last digits.
    """

    index: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.index == 0

    def mean_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Replace each gradient by its mean over all processes, with one all-reduce; a missing one counts as 0."""
        if self.count == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        means = reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
        for parameter, mean in zip(parameters, means.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = mean.view_as(parameter)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes."""
        mean: Tensor = value if self.count == 1 else reduce(value, "mean")
        return mean

    def any(self, value: bool) -> bool:
        """Return whether the value is true in any process. All must call it."""
        if self.count == 1:
            return value
        return bool(reduce(torch.tensor(float(value), device=self.device), "sum"))

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.count > 1:
            PartialState().wait_for_everyone()


ALONE = Processes(0, 1, torch.device("cpu"))
"""A single process, on the CPU."""


def join_processes(device: str) -> Processes:
    """Join the processes that were launched together, each with its device.

    Args:
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ValueError: if a GPU is requested and there is none.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(0, 1, pick_device(device))
    state = PartialState(cpu=pick_device(device).type == "cpu")
    return Processes(state.process_index, state.num_processes, state.device)
