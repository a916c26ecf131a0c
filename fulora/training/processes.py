"""The processes that train together, one a GPU, as `accelerate launch` starts them; alone, there is one."""

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
    """All processes, and which of them this is.

    Each does its slice of a batch that all draw alike, so that their number changes nothing but the last digits.
    """

    index: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.index == 0

    def mean_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Put the mean over all processes in the place of each gradient, by one all-reduce; a missing one counts 0."""
        if self.count == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        means = reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
        for parameter, mean in zip(parameters, means.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = mean.view_as(parameter)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        found: Tensor = value if self.count == 1 else reduce(value, "mean")
        return found

    def any(self, yes: bool) -> bool:
        """Whether any process says yes. All must call it."""
        if self.count == 1:
            return yes
        return bool(reduce(torch.tensor(float(yes), device=self.device), "sum"))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            PartialState().wait_for_everyone()


ALONE = Processes(0, 1, torch.device("cpu"))
"""One process; its device is the loop's to choose."""


def join_processes(device: str) -> Processes:
    """The processes that were launched together, and the device of this one.

    Args:
        device: `auto`, `cpu` or `cuda`; launched together, each process has a device of its own.

    Raises:
        ValueError: a GPU was asked for and there is none.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(0, 1, pick_device(device))
    state = PartialState(cpu=pick_device(device).type == "cpu")
    return Processes(state.process_index, state.num_processes, state.device)
