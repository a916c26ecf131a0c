"""The few things that all training loops share: device, seeded randomness, schedule, exact checkpoints, metrics log.

Every random draw of a loop comes from `generator(seed, name, step)`, never from a running state, so that a resumed run
draws what an undisturbed one would have drawn and no random state has to be saved.
"""

import json
import math
import pickle
import shutil
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
from torch import Tensor

from fulora.disk import whole
from fulora.environment import derive_seed, stop_signals

M = TypeVar("M", bound=torch.nn.Module)
CHECKPOINTS = "checkpoints"
LATEST = "LATEST"
KEPT = 2
UNREADABLE = (OSError, ValueError, LookupError, RuntimeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError)
"""What torch raises of a checkpoint that is damaged."""


class TrainingDivergedError(ValueError):
    """The loss is not a finite number any more, or far above what it was."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is of another training."""


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is a CUDA GPU where there is one, else the CPU.

    Raises:
        ValueError: a GPU was asked for and there is none, or a device that torch does not know or cannot use.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={name}: torch {torch.__version__} sees no GPU; use device=cpu or device=auto")
    try:
        return torch.empty(0, device=name).device
    except RuntimeError as error:
        raise ValueError(f"device={name}: torch cannot use it here; use device=auto, cpu or cuda") from error


def generator(*parts: str | int) -> torch.Generator:
    """A CPU generator seeded by names and numbers: the same draws on every machine."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def batch_indices(count: int, batch_size: int, step: int, *parts: str | int) -> Tensor:
    """(batch_size,) indices below `count` of training step `step`: epoch after epoch, each in its own random order.

    Depends on the step alone: epoch e is a permutation drawn from (parts, e), and the step says where in it we are.
    """
    places = range(step * batch_size, (step + 1) * batch_size)
    orders = {e: torch.randperm(count, generator=generator(*parts, "epoch", e)) for e in {p // count for p in places}}
    return torch.stack([orders[place // count][place % count] for place in places])


def by_class(targets: Tensor, *parts: str | int) -> dict[tuple[str | int, ...], Tensor]:
    """The places of each class in `targets`, classes in order; `parts` and the number of the class name its draws."""
    return {(*parts, which): torch.nonzero(targets == c)[:, 0] for which, c in enumerate(torch.unique(targets))}


def take_turns(
    groups: Mapping[tuple[str | int, ...], Tensor],
    batch_size: int,
    step: int,
    narrowed: Callable[[int, Tensor], Tensor] = lambda place, group: group,
) -> Tensor:
    """(batch_size,) members of groups that take turns; each group goes through its own in epochs (`batch_indices`).

    Args:
        groups: their members, by what names a group's draws.
        narrowed: the members that are asked at a place of the whole training, counted from 0.
    """
    named, chosen = list(groups.items()), []
    for place in range(step * batch_size, (step + 1) * batch_size):
        turn, which = divmod(place, len(named))
        parts, group = named[which]
        own = narrowed(place, group)
        chosen.append(own[batch_indices(len(own), 1, turn, *parts)])
    return torch.cat(chosen)


def cosine_rate(step: int, steps: int, *, warmup: int = 0) -> float:
    """Factor on the learning rate: linear warm-up over `warmup` steps, then a half cosine to 0 (Loshchilov 2017)."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to its `base_lr` times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` steps to `folder/checkpoints`: complete or absent, whenever the process dies.

    `LATEST` names the file to continue from; the one before it is kept as well.
    """
    home = folder / CHECKPOINTS
    home.mkdir(parents=True, exist_ok=True)
    name = f"step_{step:08d}.pt"
    _replace(home / name, lambda file: torch.save({"step": step, **state}, file))
    _replace(home / LATEST, lambda file: file.write(f"{name}\n".encode()))
    for old in sorted(home.glob("step_*.pt"))[:-KEPT]:
        old.unlink()


def _replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with whole(path, durable=True) as new, new.open("wb") as file:
        write(file)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The checkpoint that `LATEST` names, or None. Only tensors and plain values are read (`weights_only`).

    Raises:
        CheckpointError: it cannot be read.
    """
    latest = folder / CHECKPOINTS / LATEST
    if not latest.is_file():
        return None
    name = latest.read_text(encoding="utf-8", errors="replace").strip()
    path = latest.parent / name
    try:
        _check_sums(path)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        others = sorted(other.name for other in latest.parent.glob("step_*.pt") if other != path)
        older = f"write {others[-1]} into {latest} to continue from there, or " if others else ""
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path if name else latest}: the checkpoint cannot be read ({reason}): {older}remove {latest.parent} to "
            "begin again"
        ) from error
    return state


def _check_sums(path: Path) -> None:
    """A checkpoint is a zip file, whose checksums torch does not look at."""
    if not path.is_file():
        raise FileNotFoundError(f"{LATEST} names no file")
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
    if damaged is not None:
        raise ValueError(f"its part {damaged} is damaged")


def remove_checkpoint(folder: Path) -> None:
    """Remove what only a resumed run would need; call it when the weights are written."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


@contextmanager
def preemption() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM (a preempted Slurm job, `kill`) and SIGHUP (a closed terminal) do not end the process.

    Yields a function that says whether one of them has come. A loop asks after each step, writes a checkpoint and
    raises `fulora.stage.PreemptedError`. Signals reach the main thread only: in another thread the answer is always no.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = {number: signal.signal(number, lambda number, frame: came.set()) for number in stop_signals()}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Best:
    """The best checkpoint so far; `state` is empty until the first evaluation."""

    score: float = -math.inf
    step: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, score: float, step: int, model: torch.nn.Module) -> None:
        """Keep the model if it is as good as the best or better: of equals the later one is kept."""
        if score >= self.score:
            state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            self.score, self.step, self.state = score, step, state


def save_progress(
    folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer, best: Best
) -> None:
    """Checkpoint a loop that keeps its best model."""
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    save_checkpoint(folder, step, {**states, "best": vars(best)})


def resume(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Best, int]:
    """Put the last checkpoint into model and optimizer. Returns the best so far, if it was kept, and the steps done."""
    state = load_checkpoint(folder)
    if state is None:
        return Best(), 0
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Best(**state.get("best", {})), int(state["step"])


class MetricsLog:
    """`metrics.jsonl`: one line a logged step. Lines from beyond a resumed step are dropped, so a curve has no loops.

    Args:
        folder: where the file stands.
        start: the step that the loop starts from; 0 for a new run.

    Raises:
        CheckpointError: a line of the log of the steps before is damaged.
    """

    def __init__(self, folder: Path, start: int = 0) -> None:
        self.path = folder / "metrics.jsonl"
        lines = self.path.read_bytes().splitlines(keepends=True) if start and self.path.is_file() else []
        complete = [line for line in lines if line.endswith(b"\n")]
        with whole(self.path) as new:
            new.write_bytes(b"".join(x for n, x in enumerate(complete, 1) if self._step(n, x) <= start))

    def _step(self, number: int, line: bytes) -> int:
        try:
            return int(json.loads(line)["step"])
        except (ValueError, LookupError, TypeError) as error:
            again = f"remove {self.path.parent / CHECKPOINTS} to begin again"
            raise CheckpointError(f"{self.path}, line {number}: is damaged ({error}); {again}") from error

    def write(self, step: int, **values: float) -> None:
        """Append the values after `step` steps.

        Raises:
            TrainingDivergedError: one of them is NaN or infinite.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingDivergedError(f"{name} is {value} at step {step}; lower the learning rate")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **{k: float(f"{v:.6g}") for k, v in values.items()}}) + "\n")


class Average:
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
def averaged(average: Average | None, parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Inside, the parameters are their moving average, where there is one."""
    if average is None:
        yield
        return
    mine = [parameter.detach().clone() for parameter in parameters]
    put(parameters, average.values)
    try:
        yield
    finally:
        put(parameters, mine)


@torch.no_grad()
def put(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values into tensors, such as parameters, one into each."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
