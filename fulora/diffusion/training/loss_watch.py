"""Monitoring of the loss: its mean between two logs, and a stop where it is not finite or has a spike."""

import math
from typing import Any

import torch
from torch import Tensor

from fulora.training.metrics_log import TrainingDivergedError

RECENT = 20
"""Steps whose mean loss is compared with that of all steps before: single losses differ a lot by their timestep."""

ADVICE = "lower unet_learning_rate and text_encoder_learning_rate, or lengthen warmup_steps"


class LossMonitor:
    """The losses of a training. They stay on their device until `read`: reading each at once would make a GPU wait.

    Args:
        spike: stop if the mean of the last 20 losses is more than `spike` times the mean of all before; None: never.
    """

    def __init__(self, spike: float | None) -> None:
        self.spike = spike
        self.unread: list[Tensor] = []
        self.window: list[float] = []
        self.recent: list[float] = []
        self.total, self.count = 0.0, 0

    @property
    def step(self) -> int:
        """The step of the last loss that was read."""
        return self.count + len(self.recent)

    def add(self, loss: Tensor) -> None:
        """Add the loss of one step."""
        self.unread.append(loss.detach())

    def read(self) -> None:
        """Check the losses added since the last call.

        Raises:
            TrainingDivergedError: if one is not finite, or the last 20 are a spike.
        """
        losses = torch.stack(self.unread).tolist() if self.unread else []
        self.unread = []
        for number, loss in enumerate(losses, self.step + 1):
            if not math.isfinite(loss):
                raise TrainingDivergedError(f"the loss is {loss} at step {number}: {ADVICE}")
            self.recent.append(loss)
            if len(self.recent) > RECENT:
                self.total, self.count = self.total + self.recent.pop(0), self.count + 1
            self._compare(number)
        self.window += losses

    def _compare(self, step: int) -> None:
        if self.spike is None or self.count < RECENT:
            return
        now, before = sum(self.recent) / len(self.recent), self.total / self.count
        if now > self.spike * before:
            raise TrainingDivergedError(
                f"the mean loss of steps {step - RECENT + 1} to {step} is {now:.4g}, more than {self.spike:g} times "
                f"that of all steps before ({before:.4g}): {ADVICE}, or allow it with spike=null"
            )

    def mean(self) -> float:
        """Return the mean loss since the last call."""
        self.read()
        mean = sum(self.window) / len(self.window)
        self.window = []
        return mean

    def state_dict(self) -> dict[str, Any]:
        """Check the losses and return what a checkpoint keeps."""
        self.read()
        return {"window": self.window, "recent": self.recent, "total": self.total, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.window, self.recent = list(state["window"]), list(state["recent"])
        self.total, self.count = state["total"], state["count"]
