"""Results: predictions, measurements and scores, each a folder with one JSON-lines table."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator

from fulora.config import Config
from fulora.data.decoded import decoded
from fulora.data.label_set import LabelSet, LabelSetError, read_label_set
from fulora.data.labels import Plane
from fulora.data.manifest import Image
from fulora.data.overlap import Overlap
from fulora.data.splits import Member, clusters
from fulora.json_files import read_json, read_json_lines
from fulora.stage import Artifact

if TYPE_CHECKING:
    from fulora.metrics.statistics import Interval

Protocol = Literal["prompt", "transfer", "adapted", "fewshot", "generation", "segmentation", "biometry"]
Role = Literal["", "declared", "exploratory"]
"""Of a comparison: whether it was declared before the run."""

PROMPT = "prompt"
"""The arm of the CLIP that is asked by prompts alone."""

TABLE, FACTS = "table.jsonl", "facts.json"


class Prediction(Config):
    """One classified image. `probabilities` are in the order of the folder's label set and sum to 1."""

    image_id: str
    patient_key: str
    site: str
    machine: str = ""
    sha256: str = ""
    plane: Plane
    probabilities: tuple[float, ...]


class PredictionFacts(Config):
    """How predictions were made.

    Attributes:
        protocol: by prompts, transferred, adapted, or with a few patients of the population tested on.
        training_prior: shares of the classes, in the order of the label set, as training drew them; None where nothing
            was trained, or where it is not known.
        about: what else a reader must know, such as the set of prompts and the rule for the negative class.
    """

    protocol: Protocol
    training_prior: tuple[float, ...] | None = None
    about: str = ""


def protocol_of(training: Iterable[Image], test: Iterable[Image]) -> Protocol:
    """Few-shot where real training images are of a place that is tested on, else transfer."""
    places = {(row.source, row.site) for row in training if row.origin == "real"}
    return "fewshot" if places & {(row.source, row.site) for row in test} else "transfer"


def write_predictions(
    folder: Path,
    rows: Sequence[Image],
    probabilities: Float[np.ndarray, "n classes"],
    facts: PredictionFacts,
    labels: LabelSet,
) -> None:
    """Write one prediction a row of an image set; probabilities are not rounded: AUC ranks them.

    Patients who share a pixel-identical picture get one key, so that intervals resample them together.

    Args:
        labels: the classes, in the order of the columns of `probabilities`.

    Raises:
        LabelSetError: a row that shows none of the classes, or another number of columns.
    """
    labels.places([row.plane for row in rows])
    if probabilities.shape[1] != len(labels.names):
        raise LabelSetError(
            f"{probabilities.shape[1]} probabilities an image, and the label set {labels.name} has "
            f"{len(labels.names)} classes: {', '.join(labels.names)}"
        )
    of = clusters([Member(row.image_id, row.patient_key, pixels=row.sha256) for row in rows])
    keys = [of[row.patient_key] for row in rows]
    write_table(folder, [_prediction(*given) for given in zip(rows, keys, probabilities, strict=True)])
    (folder / FACTS).write_text(facts.model_dump_json(indent=1) + "\n", encoding="utf-8")
    labels.write(folder)


def _prediction(row: Image, patient_key: str, values: Float[np.ndarray, " classes"]) -> Prediction:
    return Prediction(
        image_id=row.image_id,
        patient_key=patient_key,
        site=row.site,
        machine=row.machine,
        sha256=row.sha256,
        plane=row.plane,
        probabilities=tuple(float(value) for value in values),
    )


Quantity = Literal["dice", "iou", "hd", "hd95", "assd", "nsd", "hc", "bpd", "ofd", "aop", "psfhs_s"]


class Measurement(Config):
    """One measured quantity of one image: `value` is None where it failed, and `failure` names why.

    Attributes:
        structure: that is compared or measured; "all" is everything that is no background.
        reference: what `value` should be, where there is such a thing.
        reference_from: whether the source's list gives the reference, or it is measured on the reference mask by the
            same code as `value`; "" where there is none.
    """

    image_id: str
    patient_key: str
    site: str
    structure: str
    quantity: Quantity
    unit: Literal["mm", "deg", "px", "1"]
    value: float | None
    reference: float | None
    reference_from: Literal["", "list", "mask"] = ""
    failure: str = ""


class Score(Config):
    """A number a table may show: with its interval, what it was computed from, and under which protocol.

    Attributes:
        role: of a comparison: declared before the run, or exploratory.
        p: two-sided, of the comparison's test; the note names it.
        p_holm: adjusted by Holm over the comparisons that the note names.
    """

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
    p: float | None = None
    p_holm: float | None = None

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
        permutations: of patients in each test; the least p is 1 over one more.
        contrast: an arm and its baseline: the one comparison of classifiers that was declared before the run. All
            others are exploratory.
        prior: shares of the planes where the classifiers are to be used, to which a decision is adjusted as well.
            Declared here, never read from the images tested on. A plane that is not named has none.
        legacy_auc: also FU-LoRA's published AUC, which is wrong, to compare with their table.
    """

    draws: PositiveInt = 2000
    level: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0
    permutations: PositiveInt = 9999
    contrast: tuple[str, str] = ("hybrid", "real")
    prior: dict[Plane, NonNegativeFloat] | None = None
    legacy_auc: bool = False

    @field_validator("prior")
    @classmethod
    def _shares(cls, value: dict[Plane, float] | None) -> dict[Plane, float] | None:
        if value is not None and not sum(value.values()) > 0:
            raise ValueError("the shares of the planes are numbers of 0 or more, one of them above 0")
        return value


@dataclass(frozen=True)
class Predictions(Artifact):
    """Predictions of one model on one image set."""

    def rows(self) -> list[Prediction]:
        """All predictions, in the order of the image set."""
        return read_json_lines(self.path / TABLE, Prediction)

    def facts(self) -> PredictionFacts:
        """How they were made."""
        return read_json(self.path / FACTS, PredictionFacts)

    def label_set(self) -> LabelSet:
        """The classes, in the order of the probabilities.

        Raises:
            LabelSetError: they were written before predictions had one.
            DamagedFileError: the file that says them is no label set.
        """
        return read_label_set(self.path)


@dataclass(frozen=True)
class MaskSet(Artifact):
    """Predicted masks of the test split of an image set, and the label set of what drew them."""

    def file(self, image_id: str) -> Path:
        """The mask's file of one image."""
        return self.path / "masks" / f"{image_id.replace('/', '_')}.png"

    def mask(self, image_id: str) -> UInt8[np.ndarray, "h w"]:
        """The predicted class numbers of one image."""
        return decoded(self.file(image_id))


@dataclass(frozen=True)
class Measurements(Artifact):
    """Measurements of every image of a mask set."""

    def rows(self) -> list[Measurement]:
        """All measurements."""
        return read_json_lines(self.path / TABLE, Measurement)


@dataclass(frozen=True)
class Scores(Artifact):
    """Scores, with what made them in the artifact's `stage.json`."""

    def rows(self) -> list[Score]:
        """All scores."""
        return read_json_lines(self.path / TABLE, Score)


class AlphaScore(Config):
    """Accuracy by prompts of a CLIP between its old and its tuned weights, `alpha` of the way.

    Attributes:
        population: whose images: of the training population, or the one tested on.
    """

    alpha: float
    population: str
    value: float
    low: float | None
    high: float | None
    n_images: int
    n_patients: int


@dataclass(frozen=True)
class Forgetting(Artifact):
    """What tuning a CLIP gave and took, over the way from the old to the tuned weights."""

    def rows(self) -> list[AlphaScore]:
        """One row an alpha and population."""
        return read_json_lines(self.path / TABLE, AlphaScore)


@dataclass(frozen=True)
class LeakTable(Artifact):
    """What every training input shares with the test set."""

    def rows(self) -> list[Overlap]:
        """One row a training input."""
        return read_json_lines(self.path / TABLE, Overlap)


@dataclass(frozen=True)
class Report(Artifact):
    """`report.html` (self-contained), `report.md`, `tables/*.csv`, `figures/*.png`."""


def write_table(folder: Path, rows: Iterable[Config]) -> None:
    """Write the rows of a results folder."""
    text = "".join(json.dumps(row.model_dump(mode="json")) + "\n" for row in rows)
    (folder / TABLE).write_text(text, encoding="utf-8")
