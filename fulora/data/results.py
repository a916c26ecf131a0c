"""Results: predictions, measurements and scores, each a folder with one JSON-lines table."""

import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from fulora.config import Config
from fulora.data.column_types import UNLABELLED, Plane
from fulora.data.image import Image
from fulora.data.label_set import LabelSet, LabelSetError, read_label_set
from fulora.data.leak_check import Overlap
from fulora.data.pictures.decoding import decode_picture
from fulora.data.score import Protocol, Score
from fulora.data.splits import Member, clusters
from fulora.json_files import DamagedFileError, read_json, read_json_lines
from fulora.stage import Artifact

PROMPT = "prompt"
"""The arm of the CLIP that classifies by prompts alone."""

TABLE, FACTS = "table.jsonl", "facts.json"


class Prediction(Config):
    """One classified image. `probabilities` are in the order of the folder's label set and sum to 1.

    Attributes:
        plane: the true class; "unlabelled" where it is not known, and then the predictions cannot be scored.
    """

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
        protocol: by prompts, transferred, adapted, or with a few patients of the test population.
        training_prior: shares of the classes in training, in the order of the label set; None if nothing was trained,
            or they are unknown.
        about: further notes, such as the set of prompts and the rule for the negative class.
    """

    protocol: Protocol
    training_prior: tuple[float, ...] | None = None
    about: str = ""


def places_of(rows: Iterable[Image]) -> set[tuple[str, str]]:
    """Return the (source, site) of real images."""
    return {(row.source, row.site) for row in rows if row.origin == "real"}


def protocol_of(places: Set[tuple[str, str]], test: Iterable[Image]) -> Protocol:
    """Return `fewshot` if the test images are from a (source, site) of the training images, else `transfer`."""
    return "fewshot" if places & {(row.source, row.site) for row in test} else "transfer"


def write_predictions(
    folder: Path,
    rows: Sequence[Image],
    probabilities: Float[np.ndarray, "n classes"],
    facts: PredictionFacts,
    labels: LabelSet,
) -> None:
    """Write one prediction for each row of an image set; probabilities are not rounded: AUC ranks them.

    Patients who share a pixel-identical picture get one key, so that intervals resample them together.

    Args:
        labels: the classes, in the order of the columns of `probabilities`.

    Raises:
        LabelSetError: if a row shows none of the classes and is not unlabelled, or the number of columns differs.
    """
    labels.places([row.plane for row in rows if row.plane != UNLABELLED])
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
    """One measured quantity of one image: `value` is None if it failed, and `failure` says why.

    Attributes:
        structure: that is compared or measured; "all" is everything but background.
        reference: the true value, if there is one.
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
            LabelSetError: if they were written before predictions had a label set.
            DamagedFileError: if the file is not a label set.
        """
        return read_label_set(self.path)


@dataclass(frozen=True)
class MaskSet(Artifact):
    """Predicted masks of the test split of an image set, and the label set of the network."""

    def file(self, image_id: str) -> Path:
        """The mask's file of one image."""
        return self.path / "masks" / f"{image_id.replace('/', '_')}.png"

    def mask(self, image_id: str) -> UInt8[np.ndarray, "h w"]:
        """The predicted class numbers of one image."""
        return decode_picture(self.file(image_id))


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
        """All scores.

        Raises:
            DamagedFileError: if the table is damaged, or an earlier version of fulora wrote it.
        """
        try:
            return read_json_lines(self.path / TABLE, Score)
        except DamagedFileError as error:
            again = "scores of an earlier version of fulora have other fields: run the same study or command again"
            raise DamagedFileError(f"{error}; {again}") from error


class AlphaScore(Config):
    """Accuracy by prompts of a CLIP between its old and its tuned weights, `alpha` of the way.

    Attributes:
        population: of the images: the training or the test population.
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
    """Accuracy of a CLIP interpolated between its old and its tuned weights."""

    def rows(self) -> list[AlphaScore]:
        """One row an alpha and population."""
        return read_json_lines(self.path / TABLE, AlphaScore)


@dataclass(frozen=True)
class LeakTable(Artifact):
    """Overlap of every training input with the test set."""

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
