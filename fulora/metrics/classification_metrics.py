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
from fulora.metrics.image_groups import Better
from fulora.metrics.metric_table import select_from_table
from fulora.metrics.statistics import RIGHT_OR_WRONG, Span, WeightedStatistic
from fulora.metrics.weighted_scores import Values, Weights

Basis = Literal["decision", "probabilities", "probabilities among the labels"]
"""Input of a metric: the decision of every rule, or probabilities."""


@dataclass(frozen=True)
class SeedAnswers:
    """Predictions of a model for n images under one training seed.

    Attributes:
        answers: decided classes (n,), or probabilities (n, classes).
        labels: the classes that are averaged, each the true class of an image.
        negative: the number of the negative class; None if there is none.
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
        statistic: computes its value for weights of the images.
        per_image: the value of each image, if it is a mean over images; else None.
        better: which values are better.
        span: between which values `per_image` lies, where that bounds an interval without width (see `statistics`).
        over: the record's labels: those that are averaged, or all classes.
        labels: how many labels it needs at least.
        negative: needs a negative class that the rule can decide for, and that is none of the labels.
        computed, compared, shown: in a study that names no metrics.
        groups: by which rules it is also computed of every site and machine.
        chance: what guesses that ignore the image score on average, of so many classes; None if it is not known.
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
    chance: Callable[[int], float] | None = None


def averaged(
    true: Int[np.ndarray, " n"],
    decided: Int[np.ndarray, " n"],
    labels: Sequence[int],
    average: str,
    score: str,
    weights: Weights,
) -> Values:
    """`precision`, `recall` or `F1` of every draw, `macro` (each label alike) or `weighted` (by its images)."""
    tallies = weighted_scores.tallies(true, decided, labels, weights)
    scores = {"precision": tallies.precision, "recall": tallies.recall, "F1": tallies.f1}[score]
    return np.asarray(scores.mean(axis=1)) if average == "macro" else tallies.weighted(scores)


def _mean(per_image: PerImage) -> Callable[[SeedAnswers], WeightedStatistic]:
    return lambda seed: partial(weighted_scores.mean, per_image(seed))


def _right(seed: SeedAnswers) -> Bool[np.ndarray, " n"]:
    return np.asarray(seed.answers == seed.true)


def _negative(seed: SeedAnswers) -> Bool[np.ndarray, " n"]:
    return np.asarray(seed.answers == seed.negative)


def _averaged(average: str, score: str) -> Callable[[SeedAnswers], WeightedStatistic]:
    return lambda seed: partial(averaged, seed.true, seed.answers, seed.labels, average, score)


def _auc(seed: SeedAnswers) -> WeightedStatistic:
    among = restricted(seed.answers, seed.labels)
    return partial(weighted_scores.macro_auc, seed.true, among, seed.labels)


def _on_all(score: Callable[..., Values]) -> Callable[[SeedAnswers], WeightedStatistic]:
    return lambda seed: partial(score, seed.true, seed.answers)


def _log_loss(seed: SeedAnswers) -> Float[np.ndarray, " n"]:
    return log_losses(seed.true, seed.answers)


def _brier(seed: SeedAnswers) -> Float[np.ndarray, " n"]:
    return brier_scores(seed.true, seed.answers)


_kappa, _calibration = _on_all(weighted_scores.cohen_kappa), _on_all(weighted_scores.calibration_error)


def _one_in(classes: int) -> float:
    return 1 / classes


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
        chance=_one_in,
    ),
    Metric("macro precision", "decision", _averaged("macro", "precision")),
    Metric("balanced accuracy", "decision", _averaged("macro", "recall"), shown=True, chance=_one_in),
    Metric("macro F1", "decision", _averaged("macro", "F1"), compared=True, shown=True, groups="own decision"),
    Metric("weighted precision", "decision", _averaged("weighted", "precision")),
    Metric("weighted recall", "decision", _averaged("weighted", "recall")),
    Metric("weighted F1", "decision", _averaged("weighted", "F1")),
    Metric("Cohen's kappa", "decision", _kappa, over="classes", labels=2, computed=False, chance=lambda _: 0.0),
    Metric(
        "rate of deciding the negative class",
        "decision",
        _mean(_negative),
        _negative,
        "",
        RIGHT_OR_WRONG,
        negative=True,
    ),
    Metric(
        "macro one-vs-rest AUC",
        "probabilities among the labels",
        _auc,
        labels=2,
        compared=True,
        shown=True,
        chance=lambda _: 0.5,
    ),
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
        """The metric of a declared comparison, and of groups."""
        return self.shown[0]

    def rank(self, name: str) -> int:
        """Return the rank of a metric among those shown, from 1; 0 if it is not shown."""
        names = [metric.name for metric in self.shown]
        return names.index(name) + 1 if name in names else 0

    def better(self, name: str) -> Better:
        """Return which values of a metric are better; "" if it is not in the table."""
        return next((metric.better for metric in self.computed if metric.name == name), "")


def select_metrics(names: Sequence[str] = ()) -> MetricSelection:
    """Return the metrics that a study names, compared and shown in that order; by default the usual ones.

    Raises:
        ValueError: if there is no such metric, or one is named twice.
    """
    return MetricSelection(*select_from_table(METRICS, names))
