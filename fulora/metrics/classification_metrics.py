"""The metrics of classifiers, one line each: how a metric is computed and tested, and where it is shown.

A new metric is a new line of `METRICS`: it is then computed of every arm, compared between arms and shown in reports
wherever a study names it under `score.metrics`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from fulora.metrics import weighted_scores
from fulora.metrics.calibration import brier_scores, log_losses
from fulora.metrics.classification import restricted
from fulora.metrics.groups import Better
from fulora.metrics.metric_selection import select_from_table
from fulora.metrics.statistics import RIGHT_OR_WRONG, Span, WeightedStatistic
from fulora.metrics.weighted_scores import Values, Weights

Basis = Literal["decision", "probabilities", "probabilities among the labels"]
"""What a metric is computed of: a decision by every rule, or probabilities."""


@dataclass(frozen=True)
class SeedAnswers:
    """What a model said of n images under one training seed.

    Attributes:
        answers: decided classes (n,), or probabilities (n, classes).
        labels: the classes that are averaged, each truly shown by an image.
        negative: the number of the class that is none of the others; None where there is none.
    """

    true: Int[np.ndarray, " n"]
    answers: Int[np.ndarray, " n"] | Float[np.ndarray, "n classes"]
    labels: Sequence[int]
    negative: int | None


PerImage = Callable[[SeedAnswers], Bool[np.ndarray, " n"] | Float[np.ndarray, " n"]]


@dataclass(frozen=True)
class Metric:
    """One metric. It is tested by sign flips of patients if it is a mean over images, else by swaps of patients.

    Attributes:
        statistic: its value by weights of the images.
        per_image: of a mean over images, the value of each; else None.
        better: which values are better.
        span: between which values `per_image` lies, where that bounds an interval without width (see `statistics`).
        over: the record's labels: those that are averaged, or all classes.
        labels: how many labels it needs at least.
        negative: needs a negative class that the rule can decide for, and that is none of the labels.
        computed, compared, shown: in a study that names no metrics.
        groups: by which rules it is also computed of every site and machine.
    """

    name: str
    basis: Basis
    statistic: Callable[[SeedAnswers], WeightedStatistic]
    per_image: PerImage | None = None
    better: Better = "higher"
    span: Span | None = None
    over: Literal["labels", "classes"] = "labels"
    labels: int = 1
    negative: bool = False
    computed: bool = True
    compared: bool = False
    shown: bool = False
    groups: Literal["none", "own decision", "every rule"] = "none"


def averaged(
    true: Int[np.ndarray, " n"],
    decided: Int[np.ndarray, " n"],
    labels: Sequence[int],
    average: str,
    score: str,
    weights: Weights,
) -> Values:
    """`precision`, `recall` or `F1` of every draw, `macro` (each label alike) or `weighted` (by its images)."""
    found = weighted_scores.tallies(true, decided, labels, weights)
    scores = {"precision": found.precision, "recall": found.recall, "F1": found.f1}[score]
    return np.asarray(scores.mean(axis=1)) if average == "macro" else found.weighted(scores)


def _mean(per_image: PerImage) -> Callable[[SeedAnswers], WeightedStatistic]:
    return lambda said: partial(weighted_scores.mean, per_image(said))


def _right(said: SeedAnswers) -> Bool[np.ndarray, " n"]:
    return np.asarray(said.answers == said.true)


def _negative(said: SeedAnswers) -> Bool[np.ndarray, " n"]:
    return np.asarray(said.answers == said.negative)


def _averaged(average: str, score: str) -> Callable[[SeedAnswers], WeightedStatistic]:
    return lambda said: partial(averaged, said.true, said.answers, said.labels, average, score)


def _auc(said: SeedAnswers) -> WeightedStatistic:
    among = restricted(said.answers, said.labels)
    return partial(weighted_scores.macro_auc, said.true, among, said.labels)


def _calibration(said: SeedAnswers) -> WeightedStatistic:
    return partial(weighted_scores.calibration_error, said.true, said.answers)


def _log_loss(said: SeedAnswers) -> Float[np.ndarray, " n"]:
    return log_losses(said.true, said.answers)


def _brier(said: SeedAnswers) -> Float[np.ndarray, " n"]:
    return brier_scores(said.true, said.answers)


def _kappa(said: SeedAnswers) -> WeightedStatistic:
    return partial(weighted_scores.cohen_kappa, said.true, said.answers)


METRICS = (
    Metric(
        "accuracy",
        "decision",
        _mean(_right),
        _right,
        span=RIGHT_OR_WRONG,
        compared=True,
        shown=True,
        groups="every rule",
    ),
    Metric("macro precision", "decision", _averaged("macro", "precision")),
    Metric("balanced accuracy", "decision", _averaged("macro", "recall"), shown=True),
    Metric("macro F1", "decision", _averaged("macro", "F1"), compared=True, shown=True, groups="own decision"),
    Metric("weighted precision", "decision", _averaged("weighted", "precision")),
    Metric("weighted recall", "decision", _averaged("weighted", "recall")),
    Metric("weighted F1", "decision", _averaged("weighted", "F1")),
    Metric("Cohen's kappa", "decision", _kappa, over="classes", labels=2, computed=False),
    Metric(
        "rate of deciding the negative class",
        "decision",
        _mean(_negative),
        _negative,
        "",
        RIGHT_OR_WRONG,
        negative=True,
    ),
    Metric("macro one-vs-rest AUC", "probabilities among the labels", _auc, labels=2, compared=True, shown=True),
    Metric("log loss", "probabilities", _mean(_log_loss), _log_loss, "lower", over="classes"),
    Metric("Brier score", "probabilities", _mean(_brier), _brier, "lower", over="classes"),
    Metric("expected calibration error", "probabilities", _calibration, better="lower", over="classes", shown=True),
)


@dataclass(frozen=True)
class MetricSelection:
    """The metrics of a study: all that are computed, and those compared and shown, the first of them first."""

    computed: tuple[Metric, ...]
    compared: tuple[Metric, ...]
    shown: tuple[Metric, ...]

    @property
    def first(self) -> Metric:
        """What a declared comparison is of, and groups are told by."""
        return self.shown[0]

    def rank(self, name: str) -> int:
        """The place of a metric among those shown, from 1; 0 where it is not."""
        names = [metric.name for metric in self.shown]
        return names.index(name) + 1 if name in names else 0

    def better(self, name: str) -> Better:
        """Which values of a metric are better; "" where it is none of the table."""
        return next((metric.better for metric in self.computed if metric.name == name), "")


def select_metrics(names: Sequence[str] = ()) -> MetricSelection:
    """The metrics that a study names, compared and shown in that order; the usual ones where it names none.

    Raises:
        ValueError: if there is no such metric, or one is named twice.
    """
    return MetricSelection(*select_from_table(METRICS, names))
