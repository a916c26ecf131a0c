"""All scores of one classifier: each with interval, label set, decision rule, and the images behind it.

Patients are resampled within sites, and training seeds where there are several (`fulora.metrics.statistics`). Images
whose true class is not among `labels` are left out, save for the rejection of the negative class, which needs them.
The metrics are listed in `fulora.metrics.classification_metrics`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float, Int, Shaped

from fulora.metrics import weighted_scores
from fulora.metrics.classification_metrics import Metric, MetricSelection, SeedAnswers, averaged, select_metrics
from fulora.metrics.decision_rules import Prior, Rule, decision_rules
from fulora.metrics.image_groups import ALL_IMAGES, GroupKind, ImageGroup, RuleKind
from fulora.metrics.legacy_auc import hard_label_auc, legacy_fu_lora_auc
from fulora.metrics.model_predictions import ModelPredictions
from fulora.metrics.statistics import RIGHT_OR_WRONG, Interval, Span, WeightedStatistic, weighted_bootstrap

Decided = Int[np.ndarray, "seeds n"]
Probabilities = Float[np.ndarray, "seeds n classes"]


@dataclass(frozen=True)
class Sampling:
    """Bootstrap draws of an interval, their seed, its level; and how often a test permutes patients."""

    draws: int = 2000
    seed: int = 0
    level: float = 0.95
    permutations: int = 9999


@dataclass(frozen=True)
class ScoreRow:
    """A score of a group of images.

    Attributes:
        choices: how many classes the rule can decide for; None for scores of probabilities.
        labels: the classes that it is averaged over, or is of.
    """

    quantity: str
    rule: RuleKind
    choices: int | None
    labels: tuple[str, ...]
    group: ImageGroup
    interval: Interval


def scorecard(
    answers: ModelPredictions,
    labels: Sequence[int],
    prior: Prior | None = None,
    sampling: Sampling | None = None,
    metrics: MetricSelection | None = None,
) -> list[ScoreRow]:
    """Scores of all images by every rule, of the probabilities, of each class, and of each site."""
    drawn, asked = sampling or Sampling(), metrics or select_metrics()
    inside = answers.of(np.isin(answers.true, labels))
    shown = inside.shown(labels)
    rules = decision_rules(inside, shown, prior)
    rows = [row for rule in rules for row in decision_scores(inside, rule, shown, drawn, asked.computed)]
    rows += probability_scores(inside, shown, drawn, asked.computed)
    rows += _rejection(answers, drawn)
    rows += [row for label in shown for row in _of_class(inside, rules[0], label, drawn)]
    return rows + group_scores(inside, rules, labels, inside.sites, "site", drawn, asked)


def decision_scores(
    answers: ModelPredictions,
    rule: Rule,
    labels: Sequence[int],
    sampling: Sampling,
    metrics: Sequence[Metric],
    group: ImageGroup = ALL_IMAGES,
) -> list[ScoreRow]:
    """The metrics of a rule's decisions."""
    return [
        _score_row(metric, answers, rule.decided, rule.kind, len(rule.among), labels, group, sampling)
        for metric in metrics
        if metric.basis == "decision" and decidable(metric, answers, rule, labels)
    ]


def decidable(metric: Metric, answers: ModelPredictions, rule: Rule, labels: Sequence[int]) -> bool:
    """Whether a metric of decisions is defined for a rule and these labels."""
    enough = len(labels) >= metric.labels
    return enough and (not metric.negative or (answers.negative in rule.among and answers.negative not in labels))


def probability_scores(
    answers: ModelPredictions, labels: Sequence[int], sampling: Sampling, metrics: Sequence[Metric]
) -> list[ScoreRow]:
    """Compute the metrics of the probabilities, if there are any."""
    return [
        _score_row(metric, answers, answers.probabilities, kind, None, labels, ALL_IMAGES, sampling)
        for metric, kind in probability_metrics(metrics, labels)
        if answers.probabilities is not None
    ]


def probability_metrics(metrics: Sequence[Metric], labels: Sequence[int]) -> Iterator[tuple[Metric, RuleKind]]:
    """Return the metrics of probabilities that are defined for these labels, each with its rule in records."""
    for metric in metrics:
        if metric.basis != "decision" and len(labels) >= metric.labels:
            yield metric, metric.basis


def labels_of(metric: Metric, answers: ModelPredictions, labels: Sequence[int]) -> tuple[str, ...]:
    """The names of the classes that a metric is over."""
    return answers.names if metric.over == "classes" else tuple(answers.names[label] for label in labels)


def _score_row(
    metric: Metric,
    answers: ModelPredictions,
    by_seed: Decided | Probabilities,
    kind: RuleKind,
    choices: int | None,
    labels: Sequence[int],
    group: ImageGroup,
    sampling: Sampling,
) -> ScoreRow:
    statistics = [metric.statistic(SeedAnswers(answers.true, seed, labels, answers.negative)) for seed in by_seed]
    interval = interval_of(answers, statistics, sampling, metric.span)
    return ScoreRow(metric.name, kind, choices, labels_of(metric, answers, labels), group, interval)


def group_scores(
    answers: ModelPredictions,
    rules: Sequence[Rule],
    labels: Sequence[int],
    groups: Shaped[np.ndarray, " n"],
    kind: GroupKind,
    sampling: Sampling,
    metrics: MetricSelection,
) -> list[ScoreRow]:
    """Of each site or machine the metrics that say so, and the first of the study's, over the classes it shows."""
    rows = []
    for value in np.unique(groups):
        mine = groups == value
        part = answers.of(mine)
        shown = part.shown(labels)
        for number, rule in enumerate(rules):
            asked = [
                metric
                for metric in metrics.computed
                if metric.groups == "every rule"
                or (number == 0 and (metric.groups == "own decision" or metric is metrics.first))
            ]
            rows += decision_scores(part, rule.of(mine), shown, sampling, asked, ImageGroup(kind, str(value)))
    return rows


def legacy_scores(answers: ModelPredictions, labels: Sequence[int]) -> list[ScoreRow]:
    """The published "AUC" of FU-LoRA, wrong as it is, and its formula put right; without intervals."""
    inside = answers.of(np.isin(answers.true, labels))
    names = tuple(inside.names[label] for label in labels)
    n, patients = len(inside.true), len(np.unique(inside.patients))
    groups = [ALL_IMAGES, *(ImageGroup("class", name) for name in names)]
    rows = []
    for title, formula in (
        ("legacy FU-LoRA AUC (wrong, of hard decisions)", legacy_fu_lora_auc),
        ("hard-decision AUC (its formula put right)", hard_label_auc),
    ):
        values = np.mean([formula(inside.true, seed, labels) for seed in inside.decided], axis=0)
        for group, value in zip(groups, [values.mean(), *values], strict=True):
            reason = "only to compare with the published table"
            interval = Interval(float(value), None, None, n, patients, reason=reason)
            rows.append(ScoreRow(title, "own decision", len(inside.names), names, group, interval))
    return rows


def interval_of(
    answers: ModelPredictions, statistics: Sequence[WeightedStatistic], sampling: Sampling, span: Span | None = None
) -> Interval:
    """The interval of a score, one statistic a training seed; none if all draws are equal and `span` is None.

    Raises:
        UndefinedScoreError: if the score has no value on these images.
    """
    interval = weighted_bootstrap(
        statistics,
        answers.patients,
        strata=answers.sites,
        draws=sampling.draws,
        seed=sampling.seed,
        level=sampling.level,
        span=span,
    )
    if span is None and interval.low is not None and interval.low == interval.high:
        return replace(interval, low=None, high=None, reason="no interval: every draw gives the same value")
    return interval


def _rejection(answers: ModelPredictions, sampling: Sampling) -> list[ScoreRow]:
    """AUROC of the negative class's probability; [] if it is undefined."""
    if answers.probabilities is None or answers.negative is None:
        return []
    positive = answers.true == answers.negative
    if positive.all() or not positive.any():
        return []
    statistics = [partial(weighted_scores.auc, positive, seed[:, answers.negative]) for seed in answers.probabilities]
    interval = interval_of(answers, statistics, sampling)
    name = "AUROC of rejecting the negative class"
    return [ScoreRow(name, "probabilities", None, answers.names, ALL_IMAGES, interval)]


def _of_class(answers: ModelPredictions, rule: Rule, label: int, sampling: Sampling) -> list[ScoreRow]:
    """Recall of a class's images; precision, F1 and AUC of the class among all."""
    name = answers.names[label]
    group, choices = ImageGroup("class", name), len(rule.among)
    mine = answers.true == label
    right = [partial(weighted_scores.mean, seed == label) for seed in rule.of(mine).decided]
    recall = interval_of(answers.of(mine), right, sampling, RIGHT_OR_WRONG)
    rows = [ScoreRow("recall", rule.kind, choices, (name,), group, recall)]
    for score in ("precision", "F1"):
        statistics = [partial(averaged, answers.true, seed, [label], "macro", score) for seed in rule.decided]
        interval = interval_of(answers, statistics, sampling)
        rows.append(ScoreRow(score, rule.kind, choices, (name,), group, interval))
    if answers.probabilities is not None and not mine.all():
        ranked = [partial(weighted_scores.macro_auc, answers.true, seed, [label]) for seed in answers.probabilities]
        interval = interval_of(answers, ranked, sampling)
        rows.append(ScoreRow("one-vs-rest AUC", "probabilities", None, (name,), group, interval))
    return rows
