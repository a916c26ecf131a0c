"""The predictions of classifiers as a folder that users open: flat files, scores, confusion matrices."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.data.label_set import FILE
from fulora.data.results import FACTS, TABLE, Predictions, Scores
from fulora.data.score import Score
from fulora.stage import Artifact, stage
from pipelines.jobs.prediction_tables import (
    class_table,
    comparison_table,
    plot_predictions,
    score_table,
    write_predictions_csv,
    write_scores_csv,
)
from pipelines.jobs.tables import Cell, Table

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

CSV, SCORES_CSV, CONFUSION = "predictions.csv", "scores.csv", "confusion.png"


@dataclass(frozen=True)
class ClassifiedImages(Artifact):
    """`predictions.csv` and the files of `Predictions`; with labels `confusion.png` and `scores.csv`.

    Of several models each has a folder, and `scores.csv` is that of all.
    """


@stage(version=1)
def write_classified(
    out: Path, predictions: Mapping[str, Predictions], scores: Scores | None = None
) -> ClassifiedImages:
    """Write the predictions of each model, and their scores if the images are labelled."""
    import shutil

    for name, one in predictions.items():
        folder = _folder_of(out, name, predictions)
        folder.mkdir(exist_ok=True)
        for file in (TABLE, FACTS, FILE):
            shutil.copyfile(one.path / file, folder / file)
        write_predictions_csv(folder / CSV, one, labelled=scores is not None)
        if scores is not None:
            (folder / CONFUSION).write_bytes(plot_predictions(one, name))
    if scores is not None:
        write_scores_csv(out / SCORES_CSV, scores.rows())
    return ClassifiedImages(out, "")


def _folder_of(out: Path, name: str, predictions: Mapping[str, object]) -> Path:
    return out / name if len(predictions) > 1 else out


@dataclass(frozen=True)
class Classified:
    """Predictions of one model or of several on the same images, and their scores.

    Attributes:
        path: the folder of the result.
        predictions: by model, the folder of its predictions in `path`.
        scores: all scores and comparisons; None for images without labels.
        notes: on how the images were read.
    """

    path: Path
    predictions: Mapping[str, Predictions]
    scores: tuple[Score, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> Table:
        """The main scores with intervals; of images without labels, how many are predicted as each class."""
        if self.scores is not None:
            table = score_table(self.scores, f"Scores: {self.path}")
            return Table(table.title, table.rows, (*table.notes, *self.notes))
        rows = [row for name, one in self.predictions.items() for row in _counted(name, one)]
        return Table(f"Predicted classes, not scored: {self.path}", rows, self.notes)

    @property
    def tables(self) -> list[Table]:
        """The table, scores by class, and models compared, those that there are."""
        scores = self.scores or ()
        further = (class_table(scores), comparison_table(scores))
        return [self.table, *(table for table in further if table.rows)]

    @property
    def files(self) -> list[Path]:
        """The files for readers."""
        return sorted(path for path in self.path.rglob("*") if path.name in (CSV, SCORES_CSV, CONFUSION))

    def to_pandas(self) -> "DataFrame":
        """Return a row for each image and model, with the columns of `predictions.csv`, and `model` before them."""
        import pandas

        frames = []
        for name, one in self.predictions.items():
            frame = pandas.read_csv(one.path / CSV, keep_default_na=False)
            frame.insert(0, "model", name)
            frames.append(frame)
        return pandas.concat(frames, ignore_index=True)

    def figure(self) -> "Image":
        """Return the confusion matrix of the first model.

        Raises:
            FileNotFoundError: if the images have no labels.
        """
        from PIL import Image as Pil

        first = next(iter(self.predictions.values()))
        return Pil.open(BytesIO((first.path / CONFUSION).read_bytes()))

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables)


def read_classified(
    made: ClassifiedImages, models: Mapping[str, Predictions], scores: Scores | None, notes: tuple[str, ...]
) -> Classified:
    """Return the result in a folder that `write_classified` filled.

    Args:
        models: the predictions that it was filled with.
    """
    predictions = {
        name: Predictions(_folder_of(made.path, name, models), one.fingerprint) for name, one in models.items()
    }
    return Classified(made.path, predictions, None if scores is None else tuple(scores.rows()), notes)


def _counted(name: str, predictions: Predictions) -> list[dict[str, Cell]]:
    names, rows = predictions.label_set().names, predictions.rows()
    counts = Counter(max(range(len(names)), key=row.probabilities.__getitem__) for row in rows)
    return [{"model": name, "class": one, "images": counts[place]} for place, one in enumerate(names)]
