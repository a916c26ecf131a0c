"""Files of checkpoints: written atomically, verified when they are read; and the best weights so far."""

import math
import pickle
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fulora.files import atomic_file, write_atomic

CHECKPOINTS = "checkpoints"
LATEST = "LATEST"
KEPT = 2
UNREADABLE = (OSError, ValueError, LookupError, RuntimeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError)
"""What torch raises if a checkpoint is damaged."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is of another training."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` steps atomically to `folder/checkpoints`.

    `LATEST` names the file to resume from; the one before it is kept as well.
    """
    home = folder / CHECKPOINTS
    home.mkdir(parents=True, exist_ok=True)
    name = f"step_{step:08d}.pt"
    with atomic_file(home / name, durable=True) as new, new.open("wb") as file:
        torch.save({"step": step, **state}, file)
    write_atomic(home / LATEST, f"{name}\n", durable=True)
    for old in sorted(home.glob("step_*.pt"))[:-KEPT]:
        old.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the checkpoint that `LATEST` names, if any. Only tensors and plain values are read (`weights_only`).

    Raises:
        CheckpointError: if it cannot be read.
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
    """Verify the checksums of the zip file that a checkpoint is; torch ignores them."""
    if not path.is_file():
        raise FileNotFoundError(f"{LATEST} names no file")
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
    if damaged is not None:
        raise ValueError(f"its part {damaged} is damaged")


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoints; call it when the final weights are written."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


@dataclass
class BestModel:
    """The best weights so far; `weights` is empty until the first evaluation."""

    score: float = -math.inf
    step: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, score: float, step: int, model: torch.nn.Module) -> None:
        """Keep the model's weights if they are as good as the best or better: of equals the later are kept."""
        if score >= self.score:
            self.score, self.step = score, step
            self.weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Score, step and weights."""
        return vars(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.score, self.step, self.weights = state["score"], state["step"], state["weights"]
