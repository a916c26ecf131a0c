"""Classification scores of a study with patient-clustered intervals: of each arm, and of arms against a baseline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Shaped

from fulora.data.comparisons import Pair
from fulora.data.label_set import refuse_other_classes
from fulora.data.results import PROMPT, PredictionFacts, Predictions
from fulora.data.score import Score, ScoreConfig
from fulora.metrics.classification_metrics import Metric, MetricSelection, select_metrics
from fulora.metrics.comparison import ComparisonRow, compare
from fulora.metrics.decision_rules import Prior, decision_rules
from fulora.metrics.image_groups import ALL_IMAGES, ImageGroup
from fulora.metrics.model_predictions import ModelPredictions
from fulora.metrics.paired_tests import holm
from fulora.metrics.scorecard import Sampling, ScoreRow, decision_scores, group_scores, legacy_scores, scorecard
from fulora.metrics.statistics import Interval

WITHOUT_DUPLICATES = ImageGroup("without duplicates")


@dataclass(frozen=True)
class Arm:
    """The predictions of one arm.

    Attributes:
        images: ids of the images.
        machines: of each image; "" if it is not known.
        repeated: whether each image has the same pixels as another one.
        facts: how the predictions were made, the same for all training seeds.
    """

    name: str
    images: tuple[str, ...]
    answers: ModelPredictions
    machines: Shaped[np.ndarray, " n"]
    repeated: Bool[np.ndarray, " n"]
    facts: PredictionFacts

    @property
    def labels(self) -> list[int]:
        """The classes that occur in the test set; scores are averaged over these."""
        return self.answers.shown(range(len(self.answers.names)))

    def prior(self, config: ScoreConfig) -> Prior | None:
        """Return the class priors to which decisions are adjusted.

        None if the config has none, the training prior is unknown, or a class has no training images.

        Raises:
            ValueError: if the config names a class that the predictions do not have.
        """
        names = self.answers.names
        if unknown := sorted(set(config.prior or ()) - set(names)):
            raise ValueError(
                f"score.prior: {unknown[0]!r} is not a class of these predictions; classes are {', '.join(names)}"
            )
        if config.prior is None or not all(self.facts.training_prior or (0.0,)):
            return None
        target = np.array([config.prior.get(name, 0.0) for name in names])
        return Prior(np.array(self.facts.training_prior), target / target.sum())


def read_arm(name: str, seeds: Sequence[Predictions]) -> Arm:
    """Build an arm from the predictions of its training seeds.

    Raises:
        ValueError: if the seeds predict different images, or follow different protocols.
        LabelSetError: if the seeds have different classes.
    """
    labels = seeds[0].label_set()
    for item in seeds[1:]:
        refuse_other_classes(labels, item.label_set(), name=f"arm {name!r}", other_name="another training seed of it")
    tables = [item.rows() for item in seeds]
    facts = [item.facts() for item in seeds]
    first = tables[0]
    if any([row.image_id for row in rows] != [row.image_id for row in first] for rows in tables):
        raise ValueError(f"arm {name!r}: its training seeds predict different images; give predictions of one test set")
    if len({item.protocol for item in facts}) > 1:
        raise ValueError(f"arm {name!r}: its training seeds follow several protocols; give them as several arms")
    probabilities = np.array([[row.probabilities for row in rows] for rows in tables])
    digests, place, counts = np.unique([row.sha256 for row in first], return_inverse=True, return_counts=True)
    answers = ModelPredictions(
        names=labels.names,
        true=np.array(labels.places([row.plane for row in first])),
        decided=probabilities.argmax(axis=2),
        probabilities=probabilities,
        patients=np.array([row.patient_key for row in first]),
        sites=np.array([row.site for row in first]),
        negative=None if labels.negative is None else labels.names.index(labels.negative),
    )
    repeated = (counts[place] > 1) & (digests[place] != "")
    ids = tuple(row.image_id for row in first)
    return Arm(name, ids, answers, np.array([row.machine for row in first]), repeated, facts[0])


def read_arms(predictions: Mapping[str, Sequence[Predictions]]) -> dict[str, Arm]:
    """Return all arms by name.

    Raises:
        LabelSetError: if two arms have different classes.
    """
    first, *others = predictions
    for name in others:
        ours, theirs = predictions[first][0].label_set(), predictions[name][0].label_set()
        refuse_other_classes(ours, theirs, name=f"arm {first!r}", other_name=f"arm {name!r}")
    return {name: read_arm(name, seeds) for name, seeds in predictions.items()}


def arm_scores(arm: Arm, config: ScoreConfig) -> list[Score]:
    """Return all scores of an arm: of all images by each rule, by class, site and machine, and without duplicates."""
    sampling, labels, metrics = _sampling(config), arm.labels, select_metrics(config.metrics)
    answers, prior = arm.answers, arm.prior(config)
    rows = scorecard(answers, labels, prior, sampling, metrics)
    if any(arm.machines):
        machines = np.where(arm.machines == "", "unknown", arm.machines)
        rules = decision_rules(answers, labels, prior)[:1]
        rows += group_scores(answers, rules, labels, machines, "machine", sampling, metrics)
    if arm.repeated.any() and not arm.repeated.all():
        alone = answers.of(~arm.repeated)
        rule = decision_rules(alone, labels, None)[0]
        rows += decision_scores(alone, rule, alone.shown(labels), sampling, [metrics.first], WITHOUT_DUPLICATES)
    if config.legacy_auc:
        rows += legacy_scores(answers, labels)
    return [_to_score(row, row.interval, arm, metrics) for row in rows]


def comparisons(arms: Mapping[str, Arm], config: ScoreConfig) -> list[Score]:
    """Return the declared comparison, overall and by site, then the others, whose first metric is adjusted by Holm.

    Every arm is compared with the common baseline on the same images; an adapted CLIP, and an arm that cannot be paired
    with the baseline, with the zero-shot CLIP.
    """
    config.comparisons.check([*arms])
    metrics, declared = select_metrics(config.metrics), config.comparisons.declared
    rows_of = {
        pair: _compare(arms[pair[0]], arms[pair[1]], config, metrics, whole=pair == declared)
        for pair in _pairs(arms, config)
    }
    first = {pair: next(filter(partial(_is_first, metrics.first), rows), None) for pair, rows in rows_of.items()}
    tested = {pair: row.p for pair, row in first.items() if pair != declared and row is not None and row.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    scores = []
    for pair, rows in rows_of.items():
        for row in rows:
            if not _is_first(metrics.first, row):
                scores.append(row.changed(role="exploratory"))
            elif pair == declared:
                scores.append(row.changed(role="declared"))
            else:
                holms = {"p_holm": adjusted.get(pair), "n_holm": len(tested) if pair in adjusted else None}
                scores.append(row.changed(role="exploratory", **holms))
    return scores


def _is_first(metric: Metric, score: Score) -> bool:
    return score.quantity == metric.name and score.group == ALL_IMAGES


def _pairs(arms: Mapping[str, Arm], config: ScoreConfig) -> Iterator[Pair]:
    """The pairs in the order of the results: the named ones, then each arm with the common baseline."""
    named, baseline = config.comparisons.pairs(), config.comparisons.common()
    yield from named
    for name, arm in arms.items():
        if not baseline or name == baseline:
            continue
        with_baseline = _can_be_paired(arm, arms[baseline])
        if with_baseline and (name, baseline) not in named:
            yield name, baseline
        own_clip = name != PROMPT and (arm.facts.protocol == "adapted" or not with_baseline)
        if own_clip and (name, PROMPT) not in named and PROMPT in arms and _can_be_paired(arm, arms[PROMPT]):
            yield name, PROMPT


def _can_be_paired(arm: Arm, baseline: Arm) -> bool:
    """Whether the baseline has all images of the arm, and as many training seeds unless one side was not trained."""
    seeds = len(arm.answers.decided), len(baseline.answers.decided)
    untrained = any(item.facts.protocol == "prompt" for item in (arm, baseline))
    return set(arm.images) <= set(baseline.images) and (seeds[0] == seeds[1] or (untrained and 1 in seeds))


def _compare(arm: Arm, baseline: Arm, config: ScoreConfig, metrics: MetricSelection, *, whole: bool) -> list[Score]:
    """The metrics of a comparison by the model's own decision; with `whole` also the first metric of each site."""
    if not _can_be_paired(arm, baseline):
        raise ValueError(
            f"{arm.name!r} cannot be compared with {baseline.name!r}: the baseline must predict all images of the arm "
            "with as many training seeds"
        )
    seeds = max(len(arm.answers.decided), len(baseline.answers.decided))
    place = {image: number for number, image in enumerate(baseline.images)}
    same = baseline.answers.of(np.array([place[image] for image in arm.images]))
    ours, other = _repeat_seeds(arm.answers, seeds), _repeat_seeds(replace(same, patients=arm.answers.patients), seeds)
    rows = compare(ours, other, arm.labels, None, _sampling(config), metrics.compared)
    sites = sum(row.p_holm is not None for row in rows)
    return [
        _difference(arm, baseline, row, metrics, sites)
        for row in rows
        if row.rule != "among the labels" and (whole or row.group == ALL_IMAGES)
    ]


def _repeat_seeds(answers: ModelPredictions, seeds: int) -> ModelPredictions:
    """Repeat the predictions of an arm without training seeds for each seed."""
    if len(answers.decided) == seeds or answers.probabilities is None:
        return answers
    return replace(
        answers,
        decided=np.repeat(answers.decided, seeds, axis=0),
        probabilities=np.repeat(answers.probabilities, seeds, axis=0),
    )


def _difference(arm: Arm, baseline: Arm, row: ComparisonRow, metrics: MetricSelection, sites: int) -> Score:
    """The score of a comparison; its p is the larger of those over patients and over training seeds."""
    first = row.quantity == metrics.first.name and row.group == ALL_IMAGES
    return _to_score(row, row.difference, arm, metrics).changed(
        baseline=baseline.name,
        n_seeds=max(len(arm.answers.decided), len(baseline.answers.decided)),
        p=None if row.p is None else max(row.p, row.p_seeds or 0.0),
        p_patients=row.p,
        test="" if row.p is None else row.test,
        p_seeds=None if row.p is None else row.p_seeds,
        p_holm=row.p_holm,
        n_holm=None if row.p_holm is None else sites,
        p_mcnemar=row.mcnemar.p_obuchowski if first and row.mcnemar is not None else None,
        detectable=row.detectable if first and row.detectable else None,
    )


def _to_score(row: ScoreRow | ComparisonRow, interval: Interval, arm: Arm, metrics: MetricSelection) -> Score:
    score = Score.of(
        interval, quantity=row.quantity, arm=arm.name, protocol=arm.facts.protocol, n_seeds=len(arm.answers.decided)
    )
    rank, better = metrics.rank(row.quantity), metrics.better(row.quantity)
    return score.changed(
        group=row.group, rule=row.rule, choices=row.choices, labels=row.labels, better=better, rank=rank
    )


def _sampling(config: ScoreConfig) -> Sampling:
    return Sampling(config.draws, config.seed, config.level, config.permutations)
