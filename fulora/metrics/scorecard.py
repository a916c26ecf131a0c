"""All scores of one classifier's answers: each with interval, label set, decision rule, and the images behind it.

Patients are resampled within sites, and training seeds where there are several (`fulora.metrics.statistics`). Images
whose true class is not among `labels` are left out, save for the rejection of "other", which needs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Int, Shaped

from fulora.metrics import weighted_scores
from fulora.metrics.answers import Answers, Prior, Rule, decision_rules
from fulora.metrics.calibration import brier_scores, log_losses
from fulora.metrics.classification import restricted
from fulora.metrics.legacy_auc import hard_label_auc, legacy_fu_lora_auc
from fulora.metrics.statistics import (
    RIGHT_OR_WRONG,
    Interval,
    Span,
    WeightedStatistic,
    weighted_bootstrap,
)
from fulora.metrics.weighted_scores import Values, Weights

OTHER = "other"
AS_GIVEN = "probabilities as given"


@dataclass(frozen=True)
class Sampling:
    """Bootstrap draws of an interval, their seed, its level; and how often a test permutes patients."""

    draws: int = 2000
    seed: int = 0
    level: float = 0.95
    permutations: int = 9999


@dataclass(frozen=True)
class ScoreRow:
    """A score of a group of images: by which rule it was decided, and over which classes it is averaged or decided."""

    name: str
    rule: str
    labels: tuple[str, ...]
    group: str
    interval: Interval


def scorecard(
    answers: Answers, labels: Sequence[int], prior: Prior | None = None, sampling: Sampling | None = None
) -> list[ScoreRow]:
    """Scores of all images by every rule, of the probabilities, of each plane, and of each site."""
    drawn = sampling or Sampling()
    inside = answers.of(np.isin(answers.true, labels))
    shown = inside.shown(labels)
    rules = decision_rules(inside, shown, prior)
    rows = [row for rule in rules for row in decision_scores(inside, rule, shown, drawn)]
    rows += probability_scores(inside, shown, drawn)
    rows += _rejection(answers, drawn)
    rows += [row for label in shown for row in _plane(inside, rules[0], label, drawn)]
    return rows + group_scores(inside, rules, labels, inside.sites, "site", drawn)


def decision_scores(
    answers: Answers, rule: Rule, labels: Sequence[int], sampling: Sampling, group: str = "all"
) -> list[ScoreRow]:
    """Accuracy, macro and weighted precision, recall and F1, and the rate of deciding "other" where no label is."""
    names = tuple(answers.names[label] for label in labels)
    rows = [ScoreRow("accuracy", rule.name, names, group, right_interval(answers, rule, sampling))]
    for average in ("macro", "weighted"):
        for score in ("precision", "recall", "F1"):
            statistics = [partial(averaged, answers.true, seed, labels, average, score) for seed in rule.decided]
            name = "balanced accuracy (macro recall)" if (average, score) == ("macro", "recall") else ""
            interval = interval_of(answers, statistics, sampling)
            rows.append(ScoreRow(name or f"{average} {score}", rule.name, names, group, interval))
    other = answers.names.index(OTHER) if OTHER in answers.names else -1
    if other in rule.among and other not in labels:
        said = [partial(weighted_scores.mean, seed == other) for seed in rule.decided]
        rate = interval_of(answers, said, sampling, RIGHT_OR_WRONG)
        rows.append(ScoreRow("rate of deciding other", rule.name, names, group, rate))
    return rows


def probability_scores(
    answers: Answers, labels: Sequence[int], sampling: Sampling, group: str = "all"
) -> list[ScoreRow]:
    """Macro one-vs-rest AUC of the probabilities among `labels`; log loss, Brier and calibration error of all."""
    if answers.probabilities is None:
        return []
    true, names = answers.true, tuple(answers.names[label] for label in labels)
    rows = []
    if len(labels) > 1:
        among = [restricted(seed, labels) for seed in answers.probabilities]
        ranked: list[WeightedStatistic] = [partial(weighted_scores.macro_auc, true, seed, labels) for seed in among]
        interval = interval_of(answers, ranked, sampling)
        rows.append(ScoreRow("macro one-vs-rest AUC", "probabilities among the labels", names, group, interval))
    means: dict[str, list[WeightedStatistic]] = {
        "log loss": [partial(weighted_scores.mean, log_losses(true, seed)) for seed in answers.probabilities],
        "Brier score": [partial(weighted_scores.mean, brier_scores(true, seed)) for seed in answers.probabilities],
        "expected calibration error": [
            partial(weighted_scores.calibration_error, true, seed) for seed in answers.probabilities
        ],
    }
    for name, statistics in means.items():
        rows.append(ScoreRow(name, AS_GIVEN, answers.names, group, interval_of(answers, statistics, sampling)))
    return rows


def group_scores(
    answers: Answers,
    rules: Sequence[Rule],
    labels: Sequence[int],
    groups: Shaped[np.ndarray, " n"],
    kind: str,
    sampling: Sampling,
) -> list[ScoreRow]:
    """Accuracy by every rule, and macro F1 over the planes that it shows by the first, of each site or machine."""
    rows = []
    for value in np.unique(groups):
        chosen = groups == value
        part = answers.of(chosen)
        shown = part.shown(labels)
        names = tuple(part.names[label] for label in shown)
        for number, rule in enumerate(rules):
            own = rule.of(chosen)
            accuracy = right_interval(part, own, sampling)
            rows.append(ScoreRow("accuracy", rule.name, names, f"{kind} {value}", accuracy))
            if number == 0:
                statistics = [partial(averaged, part.true, seed, shown, "macro", "F1") for seed in own.decided]
                f1 = interval_of(part, statistics, sampling)
                rows.append(ScoreRow("macro F1", rule.name, names, f"{kind} {value}", f1))
    return rows


def legacy_scores(answers: Answers, labels: Sequence[int], sampling: Sampling) -> list[ScoreRow]:
    """The published "AUC" of FU-LoRA, wrong as it is, and what its formula was meant to be; without intervals."""
    inside = answers.of(np.isin(answers.true, labels))
    names = tuple(inside.names[label] for label in labels)
    n, patients = len(inside.true), len(np.unique(inside.patients))
    rows = []
    for title, formula in (
        ("legacy FU-LoRA AUC (wrong, of hard decisions)", legacy_fu_lora_auc),
        ("hard-decision AUC (its formula put right)", hard_label_auc),
    ):
        values = np.mean([formula(inside.true, seed, labels) for seed in inside.decided], axis=0)
        for group, value in (("all", values.mean()), *zip((f"plane {name}" for name in names), values, strict=True)):
            interval = Interval(
                float(value), None, None, n, patients, reason="only to compare with the published table"
            )
            rows.append(ScoreRow(title, "own decision", names, group, interval))
    return rows


def interval_of(
    answers: Answers, statistics: Sequence[WeightedStatistic], sampling: Sampling, span: Span | None = None
) -> Interval:
    """The interval of a score, one statistic a training seed; none where every draw gives one value and `span` is None.

    Raises:
        UndefinedScoreError: the score has no value on these images.
    """
    found = weighted_bootstrap(
        statistics,
        answers.patients,
        strata=answers.sites,
        draws=sampling.draws,
        seed=sampling.seed,
        level=sampling.level,
        span=span,
    )
    if span is None and found.low is not None and found.low == found.high:
        return replace(found, low=None, high=None, reason="no interval: every draw gives the same value")
    return found


def right_interval(answers: Answers, rule: Rule, sampling: Sampling) -> Interval:
    """The interval of a rule's accuracy."""
    right = [partial(weighted_scores.mean, seed == answers.true) for seed in rule.decided]
    return interval_of(answers, right, sampling, RIGHT_OR_WRONG)


def _rejection(answers: Answers, sampling: Sampling) -> list[ScoreRow]:
    """How well the probability of "other" tells images that truly show something else; [] where it cannot be said."""
    if answers.probabilities is None or OTHER not in answers.names:
        return []
    other = answers.names.index(OTHER)
    positive = answers.true == other
    if positive.all() or not positive.any():
        return []
    statistics = [partial(weighted_scores.auc, positive, seed[:, other]) for seed in answers.probabilities]
    interval = interval_of(answers, statistics, sampling)
    return [ScoreRow("AUROC of rejecting other", AS_GIVEN, answers.names, "all", interval)]


def _plane(answers: Answers, rule: Rule, label: int, sampling: Sampling) -> list[ScoreRow]:
    """Recall of a plane's images; precision, F1 and AUC of the plane among all."""
    name = answers.names[label]
    group = f"plane {name}"
    mine = answers.true == label
    recall = right_interval(answers.of(mine), rule.of(mine), sampling)
    rows = [ScoreRow("recall", rule.name, (name,), group, recall)]
    for score in ("precision", "F1"):
        statistics = [partial(averaged, answers.true, seed, [label], "macro", score) for seed in rule.decided]
        rows.append(ScoreRow(score, rule.name, (name,), group, interval_of(answers, statistics, sampling)))
    if answers.probabilities is not None and not mine.all():
        ranked = [partial(weighted_scores.macro_auc, answers.true, seed, [label]) for seed in answers.probabilities]
        rows.append(ScoreRow("one-vs-rest AUC", AS_GIVEN, (name,), group, interval_of(answers, ranked, sampling)))
    return rows


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
