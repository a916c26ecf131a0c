"""The result of a training: its folder, its log, and the curves of its losses."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.json_files import read_json_lines
from pipelines.jobs.tables import Cell, Table

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image


@dataclass(frozen=True)
class Training:
    """A trained model.

    Attributes:
        name: what was trained, for titles.
        path: the folder of the weights.
        notes: below the table, such as which step's weights were kept.
    """

    name: str
    path: Path
    notes: tuple[str, ...] = ()

    @property
    def log(self) -> list[dict[str, float]]:
        """The rows of `metrics.jsonl`: `step`, and the values that were logged after it."""
        return read_json_lines(self.path / "metrics.jsonl", dict[str, float])

    @property
    def table(self) -> Table:
        """The first, the best and the last value of losses and validation metrics; of losses the best is the lowest."""
        rows: list[dict[str, Cell]] = []
        log = self.log
        for name in dict.fromkeys(key for row in log for key in row if "loss" in key or key.startswith("validation")):
            points = [(row[name], int(row["step"])) for row in log if name in row]
            best = min(points) if "loss" in name else max(points)
            first, last = points[0][0], points[-1][0]
            rows.append({"logged": name, "first": first, "best": best[0], "at step": best[1], "last": last})
        steps = int(log[-1]["step"]) if log else 0
        return Table(f"{self.name}, {steps} steps: {self.path}", rows, self.notes)

    def to_pandas(self) -> "DataFrame":
        """Return the log as a data frame, a row for each logged step."""
        import pandas

        return pandas.DataFrame(self.log)

    def figure(self) -> "Image":
        """Return the curves of the losses."""
        from PIL import Image as Pil

        from fulora.report.figures import plot_losses

        log = self.log
        names = dict.fromkeys(key for row in log for key in row if "loss" in key)
        curves = {name: [(int(row["step"]), row[name]) for row in log if name in row] for name in names}
        return Pil.open(BytesIO(plot_losses(curves, self.name)))

    def _repr_html_(self) -> str:
        return self.table._repr_html_()
