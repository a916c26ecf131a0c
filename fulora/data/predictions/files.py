"""Third-party predictions, read from a table: CSV, JSON lines, or a `Predictions` folder of fulora.

Columns: `image_id`, `patient`, `site`, `true`, and `predicted` or one probability a class, or both. A probability's
column is named by its class, or by `probability_` and its class. Case, blanks and punctuation of these names do not
count. In JSON lines they may also be in `probabilities`, by name, or as a list in the order of the label set.
`machine` and `sha256` (of the picture) are optional; other columns are listed and ignored. The classes are determined
by `fulora.data.predictions.classes`.

A patient is a number at a site: the same number at two sites is two patients, and noted. A column `site` that is empty
in every row, as fulora writes it for images whose site nobody named, is one site. Numbers that differ only
in case or leading zeros are refused. Patients who share a picture (equal `sha256`) are one cluster in every interval.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from fulora.data.label_set import LabelSet
from fulora.data.predictions.classes import RequestedClasses, TableClasses
from fulora.data.predictions.consistency import check_spellings, note_improbable_decisions, note_shared_numbers
from fulora.data.predictions.rows import PREFIX, TEXTS, PredictionFileError, PredictionRows, read_rows
from fulora.data.splits import Member, clusters
from fulora.data.tables.cells import NUMBER, is_missing, spellings
from fulora.metrics.classification import SUM_TOLERANCE
from fulora.metrics.model_predictions import ModelPredictions

NEEDED = ("image_id", "patient", "site", "true")
ADVICE = {
    "patient": "Images whose patient is not known are no one patient: intervals would be wrong",
    "site": "A site that is truly called NA needs another name, such as NAM",
}
"""Advice on a missing value, by column."""


@dataclass(frozen=True)
class PredictionFile:
    """The predictions of one file, image by image.

    Attributes:
        answers: of one training seed; its patients are clusters, each named by the first of its patients.
        patients: `site/patient` of every image, as in the file.
        machines: of every image; None if the file has no such column.
        shared: images whose picture also belongs to another patient; None if the file has no `sha256`.
        labels: the label set, if there is one.
        decided_by: source of the decision: the column `predicted`, or the most probable class.
        unread: ignored columns.
        notes: interpretations of the file: missing values by their spelling, decimal commas; a patient number at two
            sites, and decisions that are not the most probable class.
    """

    path: Path
    image_ids: tuple[str, ...]
    answers: ModelPredictions
    patients: Shaped[np.ndarray, " n"]
    machines: Shaped[np.ndarray, " n"] | None
    shared: Bool[np.ndarray, " n"] | None
    labels: LabelSet | None
    decided_by: str
    unread: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_predictions(path: Path, requested: RequestedClasses = ()) -> PredictionFile:
    """Read and check a file of predictions.

    Args:
        requested: the label set of the file, or names of classes that it may use.

    Raises:
        PredictionFileError: if columns or values are missing, for a duplicate image, an unknown label, patients
            spelled in two ways, or invalid probabilities.
        LabelSetError: if a folder of fulora has no label set.
    """
    found = read_rows(path, requested)
    rows = found.rows
    if not rows:
        raise PredictionFileError(f"{path} holds no predictions")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    classes = _probability_columns(path, columns, found.classes)
    _check_columns(path, columns, classes, found.classes.names)
    _check_values(path, found)
    check_spellings(path, rows)
    names = _class_names(list(classes), found.classes)
    probabilities = _probabilities(path, found, classes, names) if classes else None
    true = _indices(path, found, "true", names)
    predicted = "predicted" in columns
    if predicted or probabilities is None:
        decided = _indices(path, found, "predicted", names)
    else:
        decided = probabilities.argmax(axis=1)
    patients = np.array([f"{row['site']}/{row['patient']}" for row in rows])
    grouped, shared = _grouped(rows, patients) if "sha256" in columns else (patients, None)
    known, negative = {*TEXTS, *classes.values()}, found.classes.negative
    return PredictionFile(
        path,
        tuple(row["image_id"] for row in rows),
        ModelPredictions(
            names,
            true,
            decided[None],
            None if probabilities is None else probabilities[None],
            grouped,
            np.array([row["site"] for row in rows]),
            names.index(negative) if negative in names else None,
        ),
        patients,
        np.array([row.get("machine") or "unknown" for row in rows]) if "machine" in columns else None,
        shared,
        found.classes.labels,
        "column predicted" if predicted else "most probable class",
        tuple(column for column in columns if column not in known),
        (*found.notes, *note_shared_numbers(rows), *note_improbable_decisions(decided, probabilities)),
    )


def _probability_columns(path: Path, columns: Sequence[str], classes: TableClasses) -> dict[str, str]:
    found: dict[str, str] = {}
    for column in columns:
        name = column.removeprefix(PREFIX)
        if column.startswith(PREFIX) or (column in classes.names and column not in TEXTS):
            if classes.labels is not None:
                _refuse_unknown(path, name, classes.labels)
            if name in found:
                raise PredictionFileError(f"columns {found[name]!r} and {column!r} are probabilities of one class")
            found[name] = column
    return found


def _check_columns(path: Path, columns: Sequence[str], classes: Mapping[str, str], names: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise PredictionFileError(f"{path} has no column {', '.join(missing)}; its columns are {', '.join(columns)}")
    if not classes and "predicted" not in columns:
        raise PredictionFileError(
            f"{path} has neither a column predicted nor probabilities, in columns "
            f"named {', '.join(names) or 'by class'} or {PREFIX}NAME; its columns are {', '.join(columns)}"
        )


def _check_values(path: Path, found: PredictionRows) -> None:
    for name in NEEDED:
        empty = [number for number, row in enumerate(found.rows) if not row.get(name)]
        if empty and not (name == "site" and len(empty) == len(found.rows) and name not in found.missing):
            written = f" ({spellings(found.missing[name])})" if name in found.missing else ""
            raise PredictionFileError(
                f"{path}: {name} is missing in {len(empty)} of {len(found.rows)} rows{written}, such as "
                f"{_place(found, empty[0])}; give it, or leave those images out. {ADVICE.get(name, '')}".rstrip()
            )
    twice = {image: count for image, count in Counter(row["image_id"] for row in found.rows).items() if count > 1}
    if twice:
        image, count = next(iter(twice.items()))
        raise PredictionFileError(
            f"{path}: duplicate image_id {image!r} in {count} rows ({len(twice)} such): give one row an image, "
            "and one file a training seed"
        )


def _refuse_unknown(path: Path, name: str, labels: LabelSet) -> None:
    if name not in labels.names:
        raise PredictionFileError(
            f"{path}: a probability of {name!r}, which is no class of the label set {labels.name}: "
            f"{', '.join(labels.names)}"
        )


def _class_names(probable: Sequence[str], classes: TableClasses) -> tuple[str, ...]:
    """Return the classes in the order of all tables: those with a probability, else all that may occur."""
    if not probable:
        return classes.names
    ordered = [name for name in classes.names if name in probable]
    return (*ordered, *(name for name in probable if name not in ordered))


def _indices(path: Path, found: PredictionRows, column: str, names: Sequence[str]) -> Int[np.ndarray, " n"]:
    unknown = [number for number, row in enumerate(found.rows) if row.get(column) not in names]
    if unknown:
        value = found.rows[unknown[0]].get(column) or ""
        near = get_close_matches(value.lower(), names, n=1, cutoff=0.6)
        more = ""
        if found.classes.labels is None and tuple(names) == found.classes.names:
            more = "; name further classes by --labels"
        hint = "; a missing label cannot be scored, so leave those images out" if is_missing(value) else ""
        raise PredictionFileError(
            f"{path}, {_place(found, unknown[0])}: {column} is {value!r} ({len(unknown)} such rows){hint}; known are "
            f"{', '.join(names)}{f'. Did you mean {near[0]!r}?' if near else ''}{more}"
        )
    return np.array([names.index(row[column]) for row in found.rows])


def _probabilities(
    path: Path, found: PredictionRows, classes: Mapping[str, str], names: Sequence[str]
) -> Float[np.ndarray, "n classes"]:
    columns = [classes[name] for name in names]
    values = np.array([[_number(path, found, n, column) for column in columns] for n in range(len(found.rows))])
    wrong = (np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE) | (values < 0).any(axis=1)
    if wrong.any():
        number = int(np.argmax(wrong))
        raise PredictionFileError(
            f"{path}, {_place(found, number)}: the probabilities {values[number].tolist()} of {', '.join(names)} "
            f"add up to {values[number].sum():.4g} ({int(wrong.sum())} such rows); they must be 0 or more "
            "and add up to 1: write soft-max outputs, no logits and no percent, of every class "
            f"({PREFIX}NAME for one of your own), with three decimals or more"
        )
    return values


def _number(path: Path, found: PredictionRows, number: int, column: str) -> float:
    value = found.rows[number].get(column)
    valid = isinstance(value, int | float) and not isinstance(value, bool)
    valid = valid or (isinstance(value, str) and bool(NUMBER.fullmatch(value)))
    try:
        probability = float(value) if valid else math.nan  # type: ignore[arg-type]
    except OverflowError:
        probability = math.inf
    if not math.isfinite(probability):
        raise PredictionFileError(
            f"{path}, {_place(found, number)}: {column} is {repr(value)[:60]}, "
            "which is no probability; write a number from 0 to 1 with a decimal point and without %"
        )
    return probability


def _grouped(
    rows: Sequence[Mapping[str, Any]], patients: Shaped[np.ndarray, " n"]
) -> tuple[Shaped[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return the cluster of every image's patient, and whether its picture also belongs to another patient."""
    pairs = zip(rows, patients, strict=True)
    members = [Member(row["image_id"], patient, pixels=row.get("sha256", "")) for row, patient in pairs]
    of = clusters(members)
    owners: dict[str, set[str]] = defaultdict(set)
    for member in members:
        owners[member.pixels].add(member.patient)
    shared = [bool(member.pixels) and len(owners[member.pixels]) > 1 for member in members]
    return np.array([of[patient] for patient in patients]), np.array(shared)


def _place(found: PredictionRows, number: int) -> str:
    return f"line {found.lines[number]}, row {number + 1} (image {found.rows[number].get('image_id')!r})"
