"""`score`: scores with intervals of third-party predictions, and paired comparisons with another file."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fulora.classification.prediction_scores import COMPARED, ClassShares, PredictionScores, score_predictions
from fulora.data.label_set import LabelSet
from fulora.metrics.comparison import ComparisonRow
from fulora.metrics.scorecard import ScoreRow
from fulora.report.score_text import describe_group, describe_rule
from pipelines.jobs.tables import Cell, Table

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image


@dataclass(frozen=True)
class Scored:
    """Scores of predictions, with intervals that resample patients within sites."""

    result: PredictionScores

    @property
    def facts(self) -> dict[str, Any]:
        """What was read: images, patients, sites, classes, decision, the confusion matrix."""
        return dict(self.result.facts)

    @property
    def table(self) -> Table:
        """The scores of all images."""
        facts = self.result.facts
        rows = [_cells(row) for row in self.result.scores if row.group.kind == "all"]
        title = f"{facts['file']}: {facts['images']} images of {facts['patients']} patients at {facts['sites']} sites"
        return Table(title, rows)

    @property
    def comparisons(self) -> Table:
        """This file minus the other one, paired on the same images; no rows without another file."""
        return Table("differences", [_difference(row) for row in self.result.comparisons])

    def to_pandas(self) -> "DataFrame":
        """Return all scores: of all images, by class, by site, by machine."""
        return Table("", [_cells(row) for row in self.result.scores]).to_pandas()

    def to_json(self) -> dict[str, Any]:
        """Return all facts, scores and comparisons."""
        return self.result.to_json()

    def figure(self) -> "Image":
        """Return the confusion matrix and the accuracy of each site."""
        from PIL import Image as Pil

        return Pil.open(BytesIO(self.png()))

    def png(self) -> bytes:
        """Return the figure as a PNG file."""
        from fulora.report.classification_scores import plot_scores

        return plot_scores(self.result.facts["confusion"], self.result.scores)

    def _repr_html_(self) -> str:
        return self.table._repr_html_() + (self.comparisons._repr_html_() if self.result.comparisons else "")


def score(
    predictions: str | Path,
    *,
    labels: LabelSet | Sequence[str] = (),
    against: str | Path | None = None,
    prior: ClassShares | None = None,
    training_prior: ClassShares | None = None,
    metrics: Sequence[str] = COMPARED,
    draws: int = 2000,
    seed: int = 0,
    legacy_auc: bool = False,
) -> Scored:
    """Score a classification: every figure with interval, label set, decision rule, images and patients.

    Example:

        scores = fu.score("hybrid.csv", against="real.csv")

    Args:
        predictions: CSV or JSON lines (image_id, patient, site, true, and predicted or probabilities), or a folder of
            predictions that fulora wrote.
        labels: the label set, or the names of the classes that are averaged; by default those that images show.
        against: other predictions of the same images.
        prior: of the classes where the model is used; None keeps the training's.
        training_prior: that the model was trained on, if `prior` is given.
        metrics: that are compared.
        draws: bootstrap draws of patients; 10000 for a paper.
        legacy_auc: also FU-LoRA's published AUC, which is wrong, to compare with it.

    Raises:
        ValueError: if the file cannot be read, or the two files are not of the same images.
    """
    return Scored(
        score_predictions(
            Path(predictions),
            labels=labels,
            against=None if against is None else Path(against),
            prior=prior,
            training_prior=training_prior,
            metrics=metrics,
            draws=draws,
            seed=seed,
            legacy_auc=legacy_auc,
        )
    )


def _cells(row: ScoreRow) -> dict[str, Cell]:
    interval = row.interval
    return {
        "score": row.quantity,
        "of": describe_group(row.group),
        "rule": describe_rule(row.rule, row.choices),
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "images": interval.n,
        "patients": interval.clusters,
    }


def _difference(row: ComparisonRow) -> dict[str, Cell]:
    difference = row.difference
    return {
        "score": row.quantity,
        "of": describe_group(row.group),
        "rule": describe_rule(row.rule, row.choices),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p": row.p,
        "Holm p": row.p_holm,
        "images": difference.n,
        "patients": difference.clusters,
    }
