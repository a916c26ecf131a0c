"""The result of zero-shot classification: tables, predictions, figures, and the folder that holds them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fulora.data.results import Prediction, Predictions, Scores
from fulora.data.score import Score
from fulora.json_files import read_json
from fulora.metrics.image_groups import ALL_IMAGES
from fulora.report.number_format import format_number
from pipelines.jobs.prediction_tables import REDECIDED, class_table, comparison_table
from pipelines.jobs.tables import Cell, Table

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

SUMMARY, FIGURE, SCORES, COMPARISONS = "summary.json", "figure.png", "scores.csv", "comparisons.csv"
PREDICTIONS, EMBEDDINGS, SCORE_FOLDER = "predictions", "embeddings", "scores"
COLUMNS = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced accuracy",
    "macro F1": "macro F1",
    "macro one-vs-rest AUC": "AUC",
}
"""Scores of the table, each with its column."""

INTERVALS = "[low, high]: 95 % interval, by resampling patients within sites"


@dataclass(frozen=True)
class ZeroShot:
    """Predictions of every CLIP by every set of prompts on the same images, with scores where these are labelled."""

    path: Path

    @property
    def summary(self) -> dict[str, Any]:
        """What was predicted by what: the content of `summary.json`."""
        summary: dict[str, Any] = read_json(self.path / SUMMARY, dict[str, Any])
        return summary

    @property
    def predictions(self) -> dict[str, Predictions]:
        """The predictions by name, such as `demo, labels`."""
        return {name: Predictions(self.path / PREDICTIONS / name, "") for name in self.summary["predictions"]}

    @property
    def scores(self) -> list[Score]:
        """All scores and comparisons; none without labels."""
        folder = self.path / SCORE_FOLDER
        return Scores(folder, "").rows() if folder.is_dir() else []

    @property
    def table(self) -> Table:
        """A row for each CLIP and set of prompts: images, patients, scores with intervals; or predicted classes."""
        summary = self.summary
        title = (
            f"{summary['images']} images of {summary['patients']} patients, split {summary['split']}: {summary['of']}"
        )
        if not summary["labelled"]:
            return Table(title, [_counts(name, one) for name, one in self.predictions.items()], summary["notes"])
        return Table(title, score_rows(self.scores), (INTERVALS, *summary["notes"]))

    @property
    def comparisons(self) -> Table:
        """Differences of every two predictions on the same images, with tests; no rows for a single one."""
        return comparison_table(self.scores, "Differences on the same images, patients resampled together")

    @property
    def by_class(self) -> Table:
        """Recall, precision, F1 and AUC of each class."""
        return class_table(self.scores)

    def to_pandas(self) -> "DataFrame":
        """Return a row for each model and image: patient, site, true and predicted class, probabilities."""
        import pandas

        labelled = self.summary["labelled"]
        return pandas.DataFrame(
            [row for name, one in self.predictions.items() for row in _image_rows(name, one, labelled)]
        )

    def figure(self) -> "Image":
        """Return the accuracies with intervals as a picture.

        Raises:
            FigureError: if the images have no labels, and so no accuracy.
        """
        from PIL import Image as Pil

        from fulora.report.figure_canvas import FigureError

        if not (self.path / FIGURE).is_file():
            raise FigureError(f"{self.path}: the images have no labels, so there is no accuracy to draw")
        return Pil.open(BytesIO((self.path / FIGURE).read_bytes()))

    def files(self) -> list[Path]:
        """Return the files and folders of the result, the tables first."""
        names = [SUMMARY, SCORES, COMPARISONS, FIGURE]
        tables = [csv_of(self.path, name) for name in self.summary["predictions"]]
        return [*(self.path / name for name in names if (self.path / name).is_file()), *tables, self.path / EMBEDDINGS]

    def to_json(self) -> dict[str, Any]:
        """Return the summary, all scores and all comparisons."""
        scores = [score.model_dump(mode="json") for score in self.scores]
        return {
            **self.summary,
            "scores": [score for score in scores if not score["baseline"]],
            "comparisons": [score for score in scores if score["baseline"]],
        }

    def _repr_html_(self) -> str:
        compared = self.comparisons
        return self.table._repr_html_() + (compared._repr_html_() if compared.rows else "")


def csv_of(folder: Path, name: str) -> Path:
    """Return the flat file of one model's predictions."""
    return folder / PREDICTIONS / f"{name}.csv"


def score_rows(scores: Sequence[Score]) -> list[dict[str, Cell]]:
    """Return a row for each model: images, patients, and each score as text with its interval."""
    shown = {
        (score.arm, score.quantity): score
        for score in scores
        if score.group == ALL_IMAGES and not score.baseline and score.rule not in REDECIDED
    }
    rows: list[dict[str, Cell]] = []
    for arm in dict.fromkeys(arm for arm, _ in shown):
        accuracy = shown[arm, "accuracy"]
        row: dict[str, Cell] = {"model": arm, "images": accuracy.n_images, "patients": accuracy.n_patients}
        rows.append(row | {column: _text(shown.get((arm, name))) for name, column in COLUMNS.items()})
    return rows


def _text(score: Score | None) -> Cell:
    return None if score is None else " ".join(filter(None, format_number(score.value, score.low, score.high)))


def _counts(name: str, predictions: Predictions) -> Mapping[str, Cell]:
    """The numbers of images by predicted class."""
    names = predictions.label_set().names
    rows = predictions.rows()
    counts = Counter(_predicted(row, names) for row in rows)
    return {"model": name, "images": len(rows), **{f"as {one}": counts[one] for one in names}}


def _image_rows(name: str, predictions: Predictions, labelled: bool) -> Iterator[dict[str, Cell]]:
    names = predictions.label_set().names
    for row in predictions.rows():
        about = {"model": name, "image_id": row.image_id, "patient": row.patient_key, "site": row.site}
        classes = {"true": row.plane if labelled else None, "predicted": _predicted(row, names)}
        shares = {f"probability_{one}": value for one, value in zip(names, row.probabilities, strict=True)}
        yield {**about, **classes, **shares}


def _predicted(row: Prediction, names: Sequence[str]) -> str:
    return names[max(range(len(names)), key=row.probabilities.__getitem__)]
