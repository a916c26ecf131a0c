"""Results: predictions, measurements and scores, each a folder with one JSON-lines table."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as Pil
from pydantic import Field, PositiveInt

from fulora.config import Config
from fulora.data.labels import Plane
from fulora.data.manifest import Image
from fulora.data.splits import Member, clusters
from fulora.stage import Artifact

if TYPE_CHECKING:
    from fulora.metrics.statistics import Interval

Protocol = Literal["prompt", "transfer", "adapted", "fewshot", "generation", "segmentation", "biometry"]
Role = Literal["", "declared", "exploratory"]
"""Of a comparison: whether it was declared before the run."""

TABLE = "table.jsonl"


class Prediction(Config):
    """One classified image. `probabilities` are in the order of `fulora.data.labels.PLANES` and sum to 1."""

    image_id: str
    patient_key: str
    site: str
    plane: Plane
    probabilities: tuple[float, ...]


def write_predictions(folder: Path, rows: Sequence[Image], probabilities: Float[np.ndarray, "n classes"]) -> None:
    """Write one prediction a row of an image set; probabilities are not rounded: AUC ranks them.

    Patients who share a pixel-identical picture get one key, so that intervals resample them together.
    """
    of = clusters([Member(row.image_id, row.patient_key, pixels=row.sha256) for row in rows])
    keys = [of[row.patient_key] for row in rows]
    write_table(folder, [_prediction(*given) for given in zip(rows, keys, probabilities, strict=True)])


def _prediction(row: Image, patient_key: str, values: Float[np.ndarray, " classes"]) -> Prediction:
    return Prediction(
        image_id=row.image_id,
        patient_key=patient_key,
        site=row.site,
        plane=row.plane,
        probabilities=tuple(float(value) for value in values),
    )


class Measurement(Config):
    """One measured quantity of one image: `value` is None where it failed, and `failure` names why."""

    image_id: str
    patient_key: str
    site: str
    quantity: Literal["hc", "bpd", "ofd", "aop", "dice", "iou", "hd95", "assd"]
    unit: Literal["mm", "deg", "px", "1"]
    value: float | None
    reference: float | None
    failure: str = ""


class Score(Config):
    """A number a table may show: with its interval, what it was computed from, and under which protocol."""

    name: str
    arm: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = "1"
    protocol: Protocol
    group: str = "all"
    n_images: int
    n_patients: int
    n_seeds: int = 1
    note: str = ""
    role: Role = ""

    @classmethod
    def of(
        cls, interval: "Interval", *, name: str, arm: str, protocol: Protocol, unit: str = "1", group: str = "all",
        n_seeds: int = 1, note: str = "",
    ) -> "Score":  # fmt: skip
        """A score from its interval; why it has no bounds goes into the note."""
        return cls(
            name=name,
            arm=arm,
            protocol=protocol,
            unit=unit,
            group=group,
            n_seeds=n_seeds,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            n_images=interval.n,
            n_patients=interval.clusters,
            note="; ".join(filter(None, (note, interval.reason))),
        )


class ScoreConfig(Config):
    """How intervals are drawn: bootstrap draws over patients (and seeds), their level, the seed of the draws.

    Attributes:
        contrast: an arm and its baseline: the one comparison of classifiers that was declared before the run. All
            others are exploratory.
    """

    draws: PositiveInt = 2000
    level: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0
    contrast: tuple[str, str] = ("hybrid", "real")


@dataclass(frozen=True)
class Predictions(Artifact):
    """Predictions of one model on one image set."""

    def rows(self) -> list[Prediction]:
        """All predictions, in the order of the image set."""
        return [Prediction.model_validate_json(line) for line in _lines(self.path)]


@dataclass(frozen=True)
class MaskSet(Artifact):
    """Predicted masks `masks/<image_id>.png` of the test split of an image set."""

    def mask(self, image_id: str) -> UInt8[np.ndarray, "h w"]:
        """The predicted class numbers of one image."""
        with Pil.open(self.path / "masks" / f"{image_id}.png") as image:
            return np.asarray(image)


@dataclass(frozen=True)
class Measurements(Artifact):
    """Measurements of every image of a mask set."""

    def rows(self) -> list[Measurement]:
        """All measurements."""
        return [Measurement.model_validate_json(line) for line in _lines(self.path)]


@dataclass(frozen=True)
class Scores(Artifact):
    """Scores, with what made them in the artifact's `stage.json`."""

    def rows(self) -> list[Score]:
        """All scores."""
        return [Score.model_validate_json(line) for line in _lines(self.path)]


@dataclass(frozen=True)
class Report(Artifact):
    """`report.html` (self-contained), `report.md`, `tables/*.csv`, `figures/*.png`."""


def _lines(folder: Path) -> Sequence[str]:
    return (folder / TABLE).read_text(encoding="utf-8").splitlines()


def write_table(folder: Path, rows: Iterable[Config]) -> None:
    """Write the rows of a results folder."""
    text = "".join(json.dumps(row.model_dump(mode="json")) + "\n" for row in rows)
    (folder / TABLE).write_text(text, encoding="utf-8")
