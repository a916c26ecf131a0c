"""Predictions and their scores as users read them: a flat CSV of images, tables of scores, the confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fulora.data.results import Predictions
from fulora.data.score import Score
from fulora.data.tables.delimited import csv_text
from fulora.files import write_atomic
from fulora.metrics.image_groups import ALL_IMAGES
from fulora.terminal import printable
from pipelines.jobs.tables import Cell, Table

REDECIDED = ("among the labels", "prior-adjusted")
"""Rules that decide anew; the tables show the model's own decision, `scores.csv` has all."""
OF_CLASS = {"precision": "precision", "F1": "F1", "one-vs-rest AUC": "AUC"}
"""Scores of a class beside its recall, and their columns."""
INTERVALS = "low, high: 95 % interval, by resampling patients within sites"


def write_predictions_csv(path: Path, predictions: Predictions, *, labelled: bool = True) -> None:
    """Write a row for each image: patient, site, classes, and a column `probability_CLASS` for each class.

    `fulora score classification` reads the file where images are labelled. Control characters are escaped.

    Args:
        labelled: write the true classes; without labels the classes of the rows mean nothing.
    """
    names = predictions.label_set().names
    true = ("true",) if labelled else ()
    probabilities = [f"probability_{name}" for name in names]
    header = ("image_id", "patient", "site", "machine", "sha256", *true, "predicted", *probabilities)
    lines: list[tuple[object, ...]] = [header]
    for row in predictions.rows():
        predicted = names[int(np.argmax(row.probabilities))]
        about = (row.image_id, row.patient_key, row.site, row.machine, row.sha256)
        lines.append((*about, *((row.plane,) if labelled else ()), predicted, *row.probabilities))
    write_atomic(path, printable(csv_text(lines)))


def write_scores_csv(path: Path, scores: Sequence[Score]) -> None:
    """Write every field of every score, unrounded, as the reports of studies do."""
    from fulora.report.tables import raw_lines

    write_atomic(path, printable(csv_text(raw_lines(scores))))


def plot_predictions(predictions: Predictions, title: str = "") -> bytes:
    """Return the confusion matrix of labelled predictions as a PNG."""
    from fulora.metrics.classification import confusion_matrix
    from fulora.report.confusion import plot_confusion

    labels, rows = predictions.label_set(), predictions.rows()
    true = np.array(labels.places([row.plane for row in rows]))
    decided = np.array([row.probabilities for row in rows]).argmax(axis=1)
    return plot_confusion(confusion_matrix(true, decided, range(len(labels.names))), labels.names, title)


def score_table(scores: Sequence[Score], title: str = "Scores") -> Table:
    """Return the main scores of all images, a row for each model and score."""
    shown = [score for score in scores if score.rank and score.group == ALL_IMAGES and _is_own(score)]
    several = len({score.arm for score in shown}) > 1
    order = list(dict.fromkeys(score.arm for score in shown))
    rows = [
        {**_model(score, several), "score": score.quantity, **_numbers(score)}
        for score in sorted(shown, key=lambda score: (order.index(score.arm), score.rank))
    ]
    return Table(title, rows, (INTERVALS, *_missing_intervals(shown)))


def class_table(scores: Sequence[Score], title: str = "By class") -> Table:
    """Return recall with its interval, precision, F1 and AUC of each class, a row for each model and class."""
    of_class = [score for score in scores if score.group.kind == "class" and _is_own(score)]
    several = len({score.arm for score in of_class}) > 1
    values = {(score.arm, score.group.name, score.quantity): score.value for score in of_class}
    rows: list[dict[str, Cell]] = []
    for score in (score for score in of_class if score.quantity == "recall"):
        named, name = _model(score, several), score.group.name
        of_images = {"images": score.n_images, "recall": score.value, "low": score.low, "high": score.high}
        others = {title: values.get((score.arm, name, quantity)) for quantity, title in OF_CLASS.items()}
        rows.append({**named, "class": name, **of_images, **others})
    return Table(title, rows)


def comparison_table(scores: Sequence[Score], title: str = "Models compared") -> Table:
    """Return the differences of models on the same images, with their tests; a table without rows for one model."""
    compared = [score for score in scores if score.baseline and score.group == ALL_IMAGES]
    rows: list[dict[str, Cell]] = [
        {
            "model": score.arm,
            "minus": score.baseline,
            "score": score.quantity,
            **_numbers(score, "difference"),
            "p": score.p,
            "p by Holm": score.p_holm,
        }
        for score in compared
    ]
    return Table(title, rows, ("p: permutation of patients, two-sided",) if rows else ())


def _is_own(score: Score) -> bool:
    return score.rule not in REDECIDED and not score.baseline


def _model(score: Score, several: bool) -> dict[str, Cell]:
    return {"model": score.arm} if several else {}


def _numbers(score: Score, value: str = "value") -> dict[str, Cell]:
    return {
        value: score.value,
        "low": score.low,
        "high": score.high,
        "images": score.n_images,
        "patients": score.n_patients,
    }


def _missing_intervals(scores: Sequence[Score]) -> tuple[str, ...]:
    """Why scores have no interval, or not the bootstrap's, a line each."""
    return tuple(dict.fromkeys(f"{score.quantity}: {score.note}" for score in scores if score.note))
