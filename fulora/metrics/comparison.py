"""Two classifiers on the same images: the difference of each metric, with interval and tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from fulora.metrics import weighted_scores
from fulora.metrics.classification_metrics import Metric, SeedAnswers, select_metrics
from fulora.metrics.decision_rules import Prior, Rule, decision_rules
from fulora.metrics.image_groups import ALL_IMAGES, ImageGroup, RuleKind
from fulora.metrics.model_predictions import ModelPredictions
from fulora.metrics.paired_tests import ClusteredMcNemar, clustered_mcnemar, holm, seeds_test, swap_test
from fulora.metrics.power import detectable_difference, paired_variation
from fulora.metrics.scorecard import (
    Decided,
    Probabilities,
    Sampling,
    decidable,
    interval_of,
    labels_of,
    probability_metrics,
)
from fulora.metrics.statistics import Interval, Span, WeightedStatistic, sign_flip_test
from fulora.metrics.weighted_scores import Values, Weights

SIGN_FLIP, SWAP = "sign flip", "swap"


@dataclass(frozen=True)
class ComparisonRow:
    """A metric of `ours` minus the same of `other` on a group of images.

    Attributes:
        choices, labels: as those of a `ScoreRow`.
        p: of `test` over patients, two-sided; None for a single patient.
        test: which permutation of whole patients: a sign flip of means over images, a swap of the answers of others.
        p_seeds: of a paired t test over training seeds, of the first metric of all images; None for fewer than three.
        p_holm: adjusted over the sites; None for rows of all images.
        mcnemar: clustered McNemar tests, for means of right or wrong.
        detectable: least difference found with 80 % power at 5 %, given how these two differ.
    """

    quantity: str
    rule: RuleKind
    choices: int | None
    labels: tuple[str, ...]
    group: ImageGroup
    difference: Interval
    p: float | None
    test: str
    p_seeds: float | None = None
    p_holm: float | None = None
    mcnemar: ClusteredMcNemar | None = None
    detectable: float | None = None


@dataclass(frozen=True)
class _Pair:
    """Answers of both on the same images, one row a training seed: decisions by one rule, or probabilities."""

    answers: ModelPredictions
    ours: Decided | Probabilities
    other: Decided | Probabilities
    labels: Sequence[int]
    group: ImageGroup = ALL_IMAGES

    def at_seed(self, seed: int, *, ours: bool) -> SeedAnswers:
        answers = self.ours if ours else self.other
        return SeedAnswers(self.answers.true, answers[seed], self.labels, self.answers.negative)

    def stacked(self, seed: int) -> SeedAnswers:
        """The answers of the other, then ours, on every image twice."""
        both = np.concatenate([self.other[seed], self.ours[seed]])
        return SeedAnswers(np.tile(self.answers.true, 2), both, self.labels, self.answers.negative)


def compare(
    ours: ModelPredictions,
    other: ModelPredictions,
    labels: Sequence[int],
    prior: Prior | None = None,
    sampling: Sampling | None = None,
    metrics: Sequence[Metric] | None = None,
) -> list[ComparisonRow]:
    """Metrics of decisions by every rule that both have, then those of probabilities; the first metric of each site.

    Raises:
        ValueError: answers on other images, or of other classes, patients, sites, or numbers of training seeds.
    """
    _check_same(ours, other)
    asked, drawn = select_metrics().compared if metrics is None else metrics, sampling or Sampling()
    inside = np.isin(ours.true, labels)
    ours, other = ours.of(inside), other.of(inside)
    shown = ours.shown(labels)
    rules = list(_rule_pairs(ours, other, shown, prior))
    rows = [
        _row(metric, _Pair(ours, rule.decided, of_other.decided, shown), rule.kind, len(rule.among), drawn)
        for rule, of_other in rules
        for metric in asked
        if metric.basis == "decision" and decidable(metric, ours, rule, shown)
    ]
    if ours.probabilities is not None and other.probabilities is not None:
        pair = _Pair(ours, ours.probabilities, other.probabilities, shown)
        rows += [_row(metric, pair, kind, None, drawn) for metric, kind in probability_metrics(asked, shown)]
    first = next((number for number, row in enumerate(rows) if row.quantity == asked[0].name), None)
    if first is not None:
        mine, theirs = (_by_seed(asked[0], answers, shown) for answers in (ours, other))
        gains = [a - b for a, b in zip(mine, theirs, strict=True)]
        rows[first] = replace(rows[first], p_seeds=seeds_test(gains))
    return [*rows, *_sites(ours, *rules[0], labels, asked[0], drawn)]


def _rule_pairs(
    ours: ModelPredictions, other: ModelPredictions, labels: Sequence[int], prior: Prior | None
) -> "zip[tuple[Rule, Rule]]":
    """Rules that both can decide by: without probabilities the own decision only."""
    both = ours.probabilities is not None and other.probabilities is not None
    mine, theirs = (decision_rules(answers, labels, prior) for answers in (ours, other))
    return zip(mine[: None if both else 1], theirs[: None if both else 1], strict=True)


def _row(metric: Metric, pair: _Pair, kind: RuleKind, choices: int | None, sampling: Sampling) -> ComparisonRow:
    labels = labels_of(metric, pair.answers, pair.labels)
    if metric.per_image is None:
        difference, p = _of_any_score(metric, pair, sampling)
        return ComparisonRow(metric.name, kind, choices, labels, pair.group, difference, p, SWAP)
    mine, theirs = (
        np.array([metric.per_image(pair.at_seed(seed, ours=ours)) for seed in range(len(pair.ours))]).astype(float)
        for ours in (True, False)
    )
    difference, p = _of_means(metric.span, pair.answers, mine, theirs, sampling)
    row = ComparisonRow(metric.name, kind, choices, labels, pair.group, difference, p, SIGN_FLIP)
    if metric.span is None or p is None:
        return row
    both, patients = (theirs.mean(axis=0), mine.mean(axis=0)), pair.answers.patients
    _, sizes = np.unique(patients, return_counts=True)
    detectable = detectable_difference(paired_variation(*both, patients), sizes)
    return replace(row, mcnemar=clustered_mcnemar(*both, patients), detectable=detectable)


def _of_means(
    span: Span | None,
    answers: ModelPredictions,
    mine: Float[np.ndarray, "seeds n"],
    theirs: Float[np.ndarray, "seeds n"],
    sampling: Sampling,
) -> tuple[Interval, float | None]:
    """Of a metric that is a mean of per-image values, tested by sign flips; training seeds are paired."""
    of_difference = None if span is None else (span[0] - span[1], span[1] - span[0])
    gains = [partial(weighted_scores.mean, gain) for gain in mine - theirs]
    p = None
    if len(np.unique(answers.patients)) > 1:
        both = theirs.mean(axis=0), mine.mean(axis=0)
        p = sign_flip_test(*both, answers.patients, draws=sampling.permutations, seed=sampling.seed)
    return interval_of(answers, gains, sampling, of_difference), p


def _of_any_score(metric: Metric, pair: _Pair, sampling: Sampling) -> tuple[Interval, float | None]:
    """Of a metric that is no mean, tested by swaps."""
    stacked = [metric.statistic(pair.stacked(seed)) for seed in range(len(pair.ours))]
    gains = [partial(_gain, statistic) for statistic in stacked]
    p, patients = None, pair.answers.patients
    if len(np.unique(patients)) > 1:
        p = swap_test(stacked, patients, draws=sampling.permutations, seed=sampling.seed)
    return interval_of(pair.answers, gains, sampling), p


def _gain(statistic: WeightedStatistic, weights: Weights) -> Values:
    none = np.zeros_like(weights)
    return np.asarray(statistic(np.hstack([none, weights])) - statistic(np.hstack([weights, none])))


def _by_seed(metric: Metric, answers: ModelPredictions, labels: Sequence[int]) -> list[float]:
    seeds = answers.decided if metric.basis == "decision" or answers.probabilities is None else answers.probabilities
    by_seed = [SeedAnswers(answers.true, seed, labels, answers.negative) for seed in seeds]
    if metric.per_image is not None:
        return [float(np.mean(metric.per_image(one))) for one in by_seed]
    return [float(metric.statistic(one)(np.ones((1, len(answers.true))))[0]) for one in by_seed]


def _sites(
    answers: ModelPredictions, mine: Rule, theirs: Rule, labels: Sequence[int], metric: Metric, sampling: Sampling
) -> list[ComparisonRow]:
    """A metric of decisions on each site, with p adjusted by Holm over the sites that can be tested."""
    rows = []
    for site in np.unique(answers.sites) if metric.basis == "decision" else ():
        at = answers.sites == site
        part = answers.of(at)
        shown = part.shown(labels)
        if decidable(metric, part, mine, shown):
            pair = _Pair(part, mine.of(at).decided, theirs.of(at).decided, shown, ImageGroup("site", str(site)))
            rows.append(_row(metric, pair, mine.kind, len(mine.among), sampling))
    adjusted = iter(holm([row.p for row in rows if row.p is not None]))
    return [row if row.p is None else replace(row, p_holm=next(adjusted)) for row in rows]


def _check_same(ours: ModelPredictions, other: ModelPredictions) -> None:
    alike: dict[str, tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]] = {
        "true classes": (ours.true, other.true),
        "patients": (ours.patients, other.patients),
        "sites": (ours.sites, other.sites),
    }
    for what, (mine, theirs) in alike.items():
        if not np.array_equal(mine, theirs):
            raise ValueError(f"the two classifiers have different {what}: give answers on the same images in one order")
    if ours.names != other.names or len(ours.decided) != len(other.decided):
        raise ValueError(
            f"{len(ours.decided)} seeds of classes {list(ours.names)} cannot be paired with {len(other.decided)} of "
            f"{list(other.names)}: give the same classes and as many training seeds"
        )
