"""Scores with intervals of third-party predictions, read from a file, and paired comparisons with another file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from fulora.data.label_set import LabelSet
from fulora.data.predictions.files import PredictionFile, read_predictions
from fulora.data.predictions.paired_predictions import paired
from fulora.metrics.classification import confusion_matrix
from fulora.metrics.classification_metrics import MetricSelection, select_metrics
from fulora.metrics.comparison import ComparisonRow, compare
from fulora.metrics.decision_rules import Prior, decision_rules
from fulora.metrics.image_groups import ImageGroup
from fulora.metrics.scorecard import Sampling, ScoreRow, decision_scores, group_scores, legacy_scores, scorecard

COMPARED = ("accuracy", "macro F1", "macro one-vs-rest AUC", "log loss")
ClassShares = Mapping[str, float] | Literal["uniform"]
"""Counts or shares of classes by name; classes without one have none."""


@dataclass(frozen=True)
class PredictionScores:
    """The scores of a file of predictions.

    Attributes:
        facts: what was read and the confusion matrix, ready for JSON.
        scores: of all images, by class, site and machine, and without duplicate images.
        comparisons: this file minus the other one on the same images; empty without another file.
    """

    facts: Mapping[str, Any]
    scores: Sequence[ScoreRow]
    comparisons: Sequence[ComparisonRow]

    def to_json(self) -> dict[str, Any]:
        """Return all facts, scores and comparisons."""
        scores = [asdict(row) for row in self.scores]
        return {**self.facts, "scores": scores, "comparisons": [asdict(row) for row in self.comparisons]}


def score_predictions(
    file: Path,
    *,
    labels: LabelSet | Sequence[str] = (),
    against: Path | None = None,
    prior: ClassShares | None = None,
    training_prior: ClassShares | None = None,
    metrics: Sequence[str] = COMPARED,
    draws: int = 2000,
    seed: int = 0,
    legacy_auc: bool = False,
) -> PredictionScores:
    """Score a classification: every figure with interval, label set, decision rule, images and patients.

    Args:
        file: CSV or JSON lines, or a folder of predictions that fulora wrote (`fulora.data.predictions.files`).
        labels: the label set of the file, or the classes that scores are averaged over; by default those that occur.
        against: another file on the same images, for a paired comparison.
        prior: of the classes where the model is used; None if it is that of the training.
        training_prior: of the classes in training; required with `prior`.
        metrics: names of metrics that are compared and also computed.
        draws: bootstrap draws of patients within sites.
        legacy_auc: also compute FU-LoRA's published AUC, which is wrong, to compare with it.

    Raises:
        ValueError: if a file cannot be scored, or a class or metric does not exist.
    """
    label_set, averaged = (labels, ()) if isinstance(labels, LabelSet) else (list(labels), labels)
    sampling, selected = Sampling(draws=draws, seed=seed), select_metrics(metrics)
    table = read_predictions(file, label_set)
    numbers = _class_numbers(table, averaged)
    rows = _scores(table, numbers, _prior(table.answers.names, prior, training_prior), sampling, selected)
    rows += legacy_scores(table.answers, numbers) if legacy_auc else []
    notes = [f"{file}: {note}" for note in table.notes]
    comparisons: list[ComparisonRow] = []
    if against is not None:
        baseline = read_predictions(against, label_set)
        first, second = paired(table, baseline)
        notes += [f"{against}: {note}" for note in baseline.notes]
        shares = _prior(first.names, prior, training_prior)
        comparisons = compare(first, second, numbers, shares, sampling, selected.compared)
    facts = _facts(table, numbers, sampling) | {"notes": notes, "against": None if against is None else str(against)}
    return PredictionScores(facts, rows, comparisons)


def _class_numbers(table: PredictionFile, averaged: Sequence[str]) -> list[int]:
    """The classes to average scores over: the requested ones, else all, without those that no image shows."""
    names = table.answers.names
    if unknown := [name for name in averaged if name not in names]:
        raise ValueError(
            f"--labels: {', '.join(unknown)} is not a class of {table.path}; its classes: {', '.join(names)}"
        )
    numbers = table.answers.shown([names.index(name) for name in averaged] or list(range(len(names))))
    if not numbers:
        raise ValueError(f"--labels: no image of {table.path} truly shows {', '.join(averaged)}")
    return numbers


def _prior(names: Sequence[str], target: ClassShares | None, training: ClassShares | None) -> Prior | None:
    if target is None:
        return None
    if training is None:
        raise ValueError(
            "--prior needs --training-prior: the class shares that the model was trained on, such as uniform or "
            f"{names[0]}=353,... (counts or shares)"
        )
    return Prior(_shares("--training-prior", training, names), _shares("--prior", target, names))


def _shares(option: str, given: ClassShares, names: Sequence[str]) -> Float[np.ndarray, " classes"]:
    if given == "uniform":
        return np.full(len(names), 1 / len(names))
    if unknown := [name for name in given if name not in names]:
        raise ValueError(f"{option}: {', '.join(unknown)} is not a class; classes are {', '.join(names)}")
    shares = np.array([given.get(name, 0.0) for name in names])
    if not (shares >= 0).all() or not 0 < shares.sum() < np.inf:
        raise ValueError(f"{option}: {dict(given)} must hold numbers of 0 or more, one of them above 0")
    return np.asarray(shares / shares.sum())


def _scores(
    table: PredictionFile, labels: Sequence[int], prior: Prior | None, sampling: Sampling, metrics: MetricSelection
) -> list[ScoreRow]:
    answers = table.answers
    rows = scorecard(answers, labels, prior, sampling, metrics)
    inside = np.isin(answers.true, labels)
    part = answers.of(inside)
    if table.machines is not None:
        rules = decision_rules(part, labels, prior)
        rows += group_scores(part, rules, labels, table.machines[inside], "machine", sampling, metrics)
    if table.shared is not None and table.shared.any() and (inside & ~table.shared).any():
        alone = answers.of(inside & ~table.shared)
        shown = alone.shown(labels)
        grouped = [metric for metric in metrics.computed if metric.groups != "none"]
        for rule in decision_rules(alone, shown, prior):
            rows += decision_scores(alone, rule, shown, sampling, grouped, ImageGroup("without duplicates"))
    return rows


def _facts(table: PredictionFile, labels: Sequence[int], sampling: Sampling) -> dict[str, Any]:
    answers = table.answers
    chosen_images = np.isin(answers.true, labels)
    inside = answers.of(chosen_images)
    matrix = confusion_matrix(inside.true, inside.decided[0], range(len(answers.names)))
    names = [answers.names[label] for label in labels]
    return {
        "file": str(table.path),
        "images": len(inside.true),
        "patients": len(np.unique(table.patients[chosen_images])),
        "clusters": len(np.unique(inside.patients)),
        "sites": len(np.unique(inside.sites)),
        "classes": list(answers.names),
        "labels": names,
        "decision": table.decided_by,
        "left_out": len(answers.true) - len(inside.true),
        "shared_pictures": None if table.shared is None else int(table.shared.sum()),
        "columns_not_read": list(table.unread),
        "level": sampling.level,
        "draws": sampling.draws,
        "seed": sampling.seed,
        "confusion": {"true": names, "decided": list(answers.names), "counts": matrix[labels].tolist()},
    }
