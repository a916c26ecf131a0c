"""Classification scores of a study, with patient-clustered intervals: of every arm, and of arms against a baseline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Shaped

from fulora.data.labels import PLANES
from fulora.data.results import PROMPT, PredictionFacts, Predictions, Role, Score, ScoreConfig
from fulora.metrics.answers import Answers, Prior, decision_rules
from fulora.metrics.comparison import ComparisonRow, compare
from fulora.metrics.paired_tests import holm, seeds_test
from fulora.metrics.scorecard import (
    Sampling,
    ScoreRow,
    decision_scores,
    group_scores,
    legacy_scores,
    scorecard,
)

COMPARED = ("accuracy", "macro F1", "macro one-vs-rest AUC")
"""Scores of which arms are compared; the declared contrast is of the first."""
ONCE = "without pictures that stand twice"


@dataclass(frozen=True)
class Arm:
    """The predictions of one arm.

    Attributes:
        images: their ids.
        machines: one an image; "" where it is not known.
        repeated: images whose very pixels also stand in another row.
        facts: how the predictions were made, the same for all training seeds.
    """

    name: str
    images: tuple[str, ...]
    answers: Answers
    machines: Shaped[np.ndarray, " n"]
    repeated: Bool[np.ndarray, " n"]
    facts: PredictionFacts

    @property
    def labels(self) -> list[int]:
        """The planes that an image truly shows; scores are averaged over these."""
        return self.answers.shown(range(len(PLANES)))

    def prior(self, config: ScoreConfig) -> Prior | None:
        """The priors that decisions are adjusted to.

        None where the config asks for none, or training's is not known, or a plane was not trained on.
        """
        if config.prior is None or not all(self.facts.training_prior or (0.0,)):
            return None
        target = np.array([config.prior.get(plane, 0.0) for plane in PLANES])
        return Prior(np.array(self.facts.training_prior), target / target.sum())


def read_arm(name: str, seeds: Sequence[Predictions]) -> Arm:
    """The arm of some training seeds' predictions.

    Raises:
        ValueError: the seeds predict other images, or were made in different ways.
    """
    tables = [item.rows() for item in seeds]
    facts = [item.facts() for item in seeds]
    first = tables[0]
    if any([row.image_id for row in rows] != [row.image_id for row in first] for rows in tables):
        raise ValueError(f"arm {name!r}: its training seeds predict different images; give predictions of one test set")
    if len({item.protocol for item in facts}) > 1:
        raise ValueError(f"arm {name!r}: its training seeds follow several protocols; give them as several arms")
    probabilities = np.array([[row.probabilities for row in rows] for rows in tables])
    digests, place, counts = np.unique([row.sha256 for row in first], return_inverse=True, return_counts=True)
    answers = Answers(
        names=PLANES,
        true=np.array([PLANES.index(row.plane) for row in first]),
        decided=probabilities.argmax(axis=2),
        probabilities=probabilities,
        patients=np.array([row.patient_key for row in first]),
        sites=np.array([row.site for row in first]),
    )
    repeated = (counts[place] > 1) & (digests[place] != "")
    ids = tuple(row.image_id for row in first)
    return Arm(name, ids, answers, np.array([row.machine for row in first]), repeated, facts[0])


def arm_scores(arm: Arm, config: ScoreConfig) -> list[Score]:
    """All scores of an arm: over all images by every rule, by plane, site and machine, and with each picture once."""
    sampling, labels = _sampling(config), arm.labels
    answers, prior = arm.answers, arm.prior(config)
    rows = scorecard(answers, labels, prior, sampling)
    if any(arm.machines):
        machines = np.where(arm.machines == "", "unknown", arm.machines)
        rows += group_scores(answers, decision_rules(answers, labels, prior)[:1], labels, machines, "machine", sampling)
    if arm.repeated.any() and not arm.repeated.all():
        alone = answers.of(~arm.repeated)
        rule = decision_rules(alone, labels, None)[0]
        found = decision_scores(alone, rule, alone.shown(labels), sampling, ONCE)
        rows += [row for row in found if row.name == "accuracy"]
    if config.legacy_auc:
        rows += legacy_scores(answers, labels, sampling)
    own = decision_rules(answers, labels, None)[0].name
    return [_score(arm, row, own) for row in rows]


@dataclass(frozen=True)
class Tested:
    """A comparison and its tests: over patients, and of accuracies with three seeds or more also over seeds."""

    row: ComparisonRow
    over_seeds: float | None = None

    @property
    def p(self) -> float | None:
        """A difference is one only if it is one both over patients and over training seeds: the larger p."""
        if self.row.p is None or self.over_seeds is None:
            return self.row.p
        return max(self.row.p, self.over_seeds)


def contrasts(arms: Mapping[str, Arm], config: ScoreConfig) -> list[Score]:
    """The declared contrast, whole and by site; then others in accuracy (corrected by Holm), macro F1 and AUC.

    Every arm is compared with the contrast's baseline on the same images; an adapted CLIP, and what cannot be paired
    with the baseline, with the CLIP by prompts.
    """
    compared = {pair: _compared(arms[pair[0]], arms[pair[1]], config) for pair in _pairs(arms, config.contrast)}
    own = {pair: rows[0] for pair, rows in compared.items()}
    tested = [pair for pair, row in own.items() if pair != config.contrast and row.p is not None]
    corrected = dict(zip(tested, holm([own[pair].p or 0.0 for pair in tested]), strict=True))
    return [
        _difference(arms[pair[0]], arms[pair[1]], row, pair == config.contrast, corrected.get(pair), len(tested))
        for pair, rows in compared.items()
        for row in rows
    ]


def _pairs(arms: Mapping[str, Arm], declared: tuple[str, str]) -> Iterator[tuple[str, str]]:
    yield declared
    for name, arm in arms.items():
        with_baseline = name not in declared and _pairable(arm, arms[declared[1]])
        if with_baseline:
            yield name, declared[1]
        own_clip = arm.facts.protocol == "adapted" or not with_baseline
        if name not in (*declared, PROMPT) and own_clip and PROMPT in arms and _pairable(arm, arms[PROMPT]):
            yield name, PROMPT


def _pairable(arm: Arm, baseline: Arm) -> bool:
    """The baseline has all images of the arm; and as many training seeds, unless one side was not trained."""
    seeds = len(arm.answers.decided), len(baseline.answers.decided)
    untrained = any(item.facts.protocol == "prompt" for item in (arm, baseline))
    return set(arm.images) <= set(baseline.images) and (seeds[0] == seeds[1] or (untrained and 1 in seeds))


def _compared(arm: Arm, baseline: Arm, config: ScoreConfig) -> list[Tested]:
    """What a study tells of a comparison: the scores of `COMPARED`, accuracy first, and accuracy of each site."""
    seeds = max(len(arm.answers.decided), len(baseline.answers.decided))
    place = {image: number for number, image in enumerate(baseline.images)}
    same = baseline.answers.of(np.array([place[image] for image in arm.images]))
    ours, other = _repeated(arm.answers, seeds), _repeated(replace(same, patients=arm.answers.patients), seeds)
    rows = compare(ours, other, arm.labels, None, _sampling(config))
    first = rows[0].rule
    kept = [row for row in rows if row.name in COMPARED and (row.rule == first or row.name == COMPARED[2])]
    whole = (arm.name, baseline.name) == config.contrast
    gains = ((ours.decided == ours.true).mean(axis=1) - (other.decided == other.true).mean(axis=1)).tolist()
    return [Tested(row, seeds_test(gains) if row is kept[0] else None) for row in kept if whole or row.group == "all"]


def _repeated(answers: Answers, seeds: int) -> Answers:
    """What has no training seed says the same under every one."""
    if len(answers.decided) == seeds or answers.probabilities is None:
        return answers
    return replace(
        answers,
        decided=np.repeat(answers.decided, seeds, axis=0),
        probabilities=np.repeat(answers.probabilities, seeds, axis=0),
    )


def _difference(arm: Arm, baseline: Arm, found: Tested, declared: bool, by_holm: float | None, tested: int) -> Score:
    """A score of a comparison; only accuracy over all images is declared, or corrected over the arms."""
    row = found.row
    first = row.name == COMPARED[0] and row.group == "all"
    role: Role = "declared" if declared and first else "exploratory"
    p_holm = by_holm if first else row.p_holm
    said = ["declared before the run" if role == "declared" else "exploratory"]
    if p_holm is not None:
        over = "sites" if not first else "1 comparison" if tested == 1 else f"{tested} comparisons"
        said.append(f"p adjusted by Holm over {over}")
    if row.mcnemar is not None and first:
        said.append(f"clustered McNemar p = {row.mcnemar.p_obuchowski:.4f}")
    if row.detectable and first:
        said.append(f"least difference found with 80 % power: {row.detectable:.3f}")
    name = f"{row.name}, {arm.name} minus {baseline.name}"
    made = _of(arm, row, name, "; ".join([*said, *_tests(found)]), len(baseline.answers.decided))
    return made.model_copy(
        update={"arm": f"{arm.name} - {baseline.name}", "role": role, "p": found.p, "p_holm": p_holm}
    )


def _tests(tested: Tested) -> list[str]:
    """How the p-value came about."""
    if tested.row.p is None:
        return []
    if tested.over_seeds is None:
        return [f"p of {tested.row.test}, training seeds as given"]
    return [
        f"p is the larger of that over patients ({tested.row.test}: {tested.row.p:.4f}) and that over training seeds "
        f"(paired t test: {tested.over_seeds:.4f})"
    ]


def _score(arm: Arm, row: ScoreRow, own: str) -> Score:
    """A row of the results table; its name says by which rule, unless that is the model's own or none."""
    plain = row.rule == own or row.rule.startswith(("probabilities", "own"))
    over = "" if row.group.startswith("plane ") else f"; over {', '.join(row.labels)}"
    return _of(arm, row, row.name if plain else f"{row.name}, {row.rule}", f"{row.rule}{over}")


def _of(arm: Arm, row: ScoreRow | ComparisonRow, name: str, note: str, seeds: int = 1) -> Score:
    return Score.of(
        row.interval if isinstance(row, ScoreRow) else row.difference,
        name=name,
        arm=arm.name,
        protocol=arm.facts.protocol,
        group=row.group,
        n_seeds=max(seeds, len(arm.answers.decided)),
        note=note,
    )


def _sampling(config: ScoreConfig) -> Sampling:
    return Sampling(config.draws, config.seed, config.level, config.permutations)
