"""The log of a training, `metrics.jsonl`."""

import json
import math
from pathlib import Path

from fulora.files import atomic_file
from fulora.training.checkpoints import CHECKPOINTS, CheckpointError


class TrainingDivergedError(ValueError):
    """A loss that is not finite, or far above its earlier values."""


class MetricsLog:
    """`metrics.jsonl`: one line per logged step. Lines after the step that a run resumes from are dropped.

    Args:
        folder: the file's folder.
        start: the step that the run resumes from; 0 for a new run.

    Raises:
        CheckpointError: if a line of an earlier step is damaged.
    """

    def __init__(self, folder: Path, start: int = 0) -> None:
        self.path = folder / "metrics.jsonl"
        lines = self.path.read_bytes().splitlines(keepends=True) if start and self.path.is_file() else []
        complete = [line for line in lines if line.endswith(b"\n")]
        with atomic_file(self.path) as new:
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
            TrainingDivergedError: if one of them is NaN or infinite.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingDivergedError(f"{name} is {value} at step {step}; lower the learning rate")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **{k: float(f"{v:.6g}") for k, v in values.items()}}) + "\n")
