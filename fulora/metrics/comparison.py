"""Two classifiers on the same images: the difference of each score, with interval and tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from fulora.metrics import weighted_scores
from fulora.metrics.answers import Answers, Prior, Rule, decision_rules
from fulora.metrics.calibration import log_losses
from fulora.metrics.classification import restricted
from fulora.metrics.paired_tests import ClusteredMcNemar, clustered_mcnemar, holm, swap_test
from fulora.metrics.power import detectable_difference, paired_variation
from fulora.metrics.scorecard import Sampling, averaged, interval_of
from fulora.metrics.statistics import DIFFERENCE, Interval, Span, WeightedStatistic, sign_flip_test
from fulora.metrics.weighted_scores import Values, Weights

SIGN_FLIP, SWAP = "sign flip of patients", "swap of patients"


@dataclass(frozen=True)
class ComparisonRow:
    """A score of `ours` minus the same of `other` on a group of images.

    Attributes:
        p: of `test`, two-sided; None for a single patient.
        p_holm: adjusted over the sites; None for rows of all images.
        mcnemar: clustered McNemar tests, for accuracies.
        detectable: least difference of accuracy found with 80 % power at 5 %, given how these two differ.
    """

    name: str
    rule: str
    labels: tuple[str, ...]
    group: str
    difference: Interval
    p: float | None
    test: str
    p_holm: float | None = None
    mcnemar: ClusteredMcNemar | None = None
    detectable: float | None = None


def compare(
    ours: Answers, other: Answers, labels: Sequence[int], prior: Prior | None = None, sampling: Sampling | None = None
) -> list[ComparisonRow]:
    """Accuracy and macro F1 by every rule that both have, AUC and log loss of probabilities, and accuracy of each site.

    Raises:
        ValueError: answers on other images, or of other classes, patients, sites, or numbers of training seeds.
    """
    _check_same(ours, other)
    drawn = sampling or Sampling()
    chosen = np.isin(ours.true, labels)
    ours, other = ours.of(chosen), other.of(chosen)
    shown = ours.shown(labels)
    pairs = list(_rule_pairs(ours, other, shown, prior))
    rows = []
    for mine, theirs in pairs:
        rows += [_accuracy(ours, mine, theirs, shown, drawn), _macro_f1(ours, mine, theirs, shown, drawn)]
    rows += _probabilities(ours, other, shown, drawn)
    return rows + _sites(ours, *pairs[0], labels, drawn)


def _rule_pairs(ours: Answers, other: Answers, labels: Sequence[int], prior: Prior | None) -> "zip[tuple[Rule, Rule]]":
    """Rules that both can decide by: without probabilities the own decision only."""
    both = ours.probabilities is not None and other.probabilities is not None
    mine, theirs = (decision_rules(answers, labels, prior) for answers in (ours, other))
    return zip(mine[: None if both else 1], theirs[: None if both else 1], strict=True)


def _accuracy(
    answers: Answers, mine: Rule, theirs: Rule, labels: Sequence[int], sampling: Sampling, group: str = "all"
) -> ComparisonRow:
    ours, others = ((rule.decided == answers.true).astype(float) for rule in (mine, theirs))
    row = _of_means(answers, "accuracy", mine.name, ours, others, labels, sampling, DIFFERENCE)
    if row.p is None:
        return replace(row, group=group)
    pair = others.mean(axis=0), ours.mean(axis=0)
    _, sizes = np.unique(answers.patients, return_counts=True)
    detectable = detectable_difference(paired_variation(*pair, answers.patients), sizes)
    mcnemar = clustered_mcnemar(*pair, answers.patients)
    return replace(row, group=group, mcnemar=mcnemar, detectable=detectable)


def _of_means(
    answers: Answers,
    name: str,
    rule: str,
    mine: Float[np.ndarray, "seeds n"],
    theirs: Float[np.ndarray, "seeds n"],
    labels: Sequence[int],
    sampling: Sampling,
    span: Span | None,
) -> ComparisonRow:
    """Of a score that is a mean of per-image values, tested by sign flips; training seeds are paired."""
    gains = [partial(weighted_scores.mean, gain) for gain in mine - theirs]
    p = None
    if len(np.unique(answers.patients)) > 1:
        pair = theirs.mean(axis=0), mine.mean(axis=0)
        p = sign_flip_test(*pair, answers.patients, draws=sampling.permutations, seed=sampling.seed)
    difference = interval_of(answers, gains, sampling, span)
    return ComparisonRow(name, rule, _names(answers, labels), "all", difference, p, SIGN_FLIP)


def _macro_f1(answers: Answers, mine: Rule, theirs: Rule, labels: Sequence[int], sampling: Sampling) -> ComparisonRow:
    pairs = list(zip(theirs.decided, mine.decided, strict=True))
    doubled = np.tile(answers.true, 2)
    stacked: list[WeightedStatistic] = [
        partial(averaged, doubled, np.concatenate(pair), labels, "macro", "F1") for pair in pairs
    ]
    return _of_any_score(answers, "macro F1", mine.name, stacked, labels, sampling)


def _probabilities(ours: Answers, other: Answers, labels: Sequence[int], sampling: Sampling) -> list[ComparisonRow]:
    if ours.probabilities is None or other.probabilities is None:
        return []
    pairs = list(zip(other.probabilities, ours.probabilities, strict=True))
    doubled = np.tile(ours.true, 2)
    rows = []
    if len(labels) > 1:
        stacked: list[WeightedStatistic] = [
            partial(weighted_scores.macro_auc, doubled, restricted(np.concatenate(pair), labels), labels)
            for pair in pairs
        ]
        rule = "probabilities among the labels"
        rows.append(_of_any_score(ours, "macro one-vs-rest AUC", rule, stacked, labels, sampling))
    theirs, mine = (np.array([log_losses(ours.true, seed) for seed in seeds]) for seeds in zip(*pairs, strict=True))
    everything = range(len(ours.names))
    rows.append(_of_means(ours, "log loss", "probabilities as given", mine, theirs, everything, sampling, None))
    return rows


def _of_any_score(
    answers: Answers,
    name: str,
    rule: str,
    stacked: Sequence[WeightedStatistic],
    labels: Sequence[int],
    sampling: Sampling,
) -> ComparisonRow:
    """Of a score that is no mean, tested by swaps. Statistics take the answers of the other, then ours."""
    gains = [partial(_gain, statistic) for statistic in stacked]
    p = None
    if len(np.unique(answers.patients)) > 1:
        p = swap_test(stacked, answers.patients, draws=sampling.permutations, seed=sampling.seed)
    difference = interval_of(answers, gains, sampling)
    return ComparisonRow(name, rule, _names(answers, labels), "all", difference, p, SWAP)


def _gain(statistic: WeightedStatistic, weights: Weights) -> Values:
    none = np.zeros_like(weights)
    return np.asarray(statistic(np.hstack([none, weights])) - statistic(np.hstack([weights, none])))


def _sites(
    answers: Answers, mine: Rule, theirs: Rule, labels: Sequence[int], sampling: Sampling
) -> list[ComparisonRow]:
    """Accuracy of each site, with p adjusted by Holm over the sites that can be tested."""
    rows = []
    for site in np.unique(answers.sites):
        chosen = answers.sites == site
        part = answers.of(chosen)
        rows.append(_accuracy(part, mine.of(chosen), theirs.of(chosen), part.shown(labels), sampling, f"site {site}"))
    adjusted = iter(holm([row.p for row in rows if row.p is not None]))
    return [row if row.p is None else replace(row, p_holm=next(adjusted)) for row in rows]


def _names(answers: Answers, labels: Sequence[int]) -> tuple[str, ...]:
    return tuple(answers.names[label] for label in labels)


def _check_same(ours: Answers, other: Answers) -> None:
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
