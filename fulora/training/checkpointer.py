"""The checkpoints of one training: exact resumption, protection from another training's, and SIGTERM."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from fulora.progress import note, track
from fulora.stage import PreemptedError
from fulora.training.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from fulora.training.devices import missing_operations_named
from fulora.training.preemption import preemption
from fulora.training.processes import ALONE, Processes

AGREED_EVERY = 10
"""Steps after which several processes agree whether one of them was told to stop."""


class Stateful(Protocol):
    """A part of a checkpoint, such as a module, an optimizer or a moving average."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values that `load_state_dict` continues from."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Continue from what `state_dict` returned."""


class Checkpointer:
    """Checkpoints of one training, and its steps from the last checkpoint on.

    On a CPU with the same number of threads, the result of a resumed training is bit-identical to that of an
    uninterrupted one. Each training also raises `fulora.training.metrics_log.TrainingDivergedError` if a loss is not
    finite.

    Args:
        folder: where the training writes; checkpoints are in `checkpoints/` inside.
        run: digest of settings and inputs (`fulora.training.run_digest`): what tells this training from others.
        every: steps between two checkpoints.
        parts: all that changes during the training, by name.
        processes: those that train together; only the first one writes.

    Attributes:
        done: steps that are done.

    Raises:
        CheckpointError: if the checkpoint in `folder` is damaged, or of another training.
    """

    def __init__(
        self, folder: Path, run: str, every: int, parts: Mapping[str, Stateful], processes: Processes = ALONE
    ) -> None:
        self.folder, self.run, self.every = folder, run, every
        self.parts, self.processes = parts, processes
        self.done = self._restore()
        self._last = self.done
        self._is_stopping: Callable[[], bool] = lambda: False

    def _restore(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        state = load_checkpoint(self.folder)
        if state is None:
            return 0
        if state.get("run") != self.run:
            raise CheckpointError(
                f"{self.folder}: its checkpoint is of another training (other images, other start weights or other "
                "settings): give another folder, or remove this one's checkpoints/"
            )
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        return int(state["step"])

    @contextmanager
    def steps(self, last: int, description: str) -> Iterator[Iterator[int]]:
        """The numbers of the steps to do, up to `last`, with a progress bar; call `after_step` at the end of each.

        Inside, SIGTERM and SIGHUP do not end the process: `after_step` does, with a checkpoint.

        Raises:
            DeviceError: if the device lacks an operation that the training needs.
        """
        self._last = last
        if self.done:
            note(f"  {description}: goes on after step {self.done} of {last}, from its checkpoint")
        with preemption() as self._is_stopping, missing_operations_named():
            yield track(range(self.done + 1, last + 1), description, start=self.done)

    def after_step(self, done: int) -> None:
        """Write a checkpoint where one is due.

        Raises:
            PreemptedError: if SIGTERM or SIGHUP came; a checkpoint was written.
        """
        self.done = done
        together = self.processes
        is_asked = together.count == 1 or done % AGREED_EVERY == 0
        stop = is_asked and together.any(self._is_stopping())
        if done % self.every == 0 or stop:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            if together.first:
                save_checkpoint(self.folder, done, {"run": self.run, **state})
        if stop:
            raise PreemptedError(f"stopped after step {done} of {self._last}; a checkpoint is in {self.folder}")
