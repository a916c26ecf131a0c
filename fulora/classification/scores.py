"""Classification scores with patient-clustered intervals: of an arm, of each site, and of one arm against another."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fulora.data.labels import PLANES
from fulora.data.results import Prediction, Protocol, Role, Score, ScoreConfig
from fulora.metrics.classification import accuracy, macro_auc, macro_f1, restricted
from fulora.metrics.paired_tests import holm
from fulora.metrics.statistics import (
    DIFFERENCE,
    RIGHT_OR_WRONG,
    Interval,
    Span,
    cluster_bootstrap,
    seed_bootstrap,
    sign_flip_test,
)


class Arm:
    """The predictions of one arm as arrays: `true` (n,), `probabilities` (seeds, n, 5), `patients` and `sites` (n,)."""

    def __init__(self, name: str, seeds: Sequence[Sequence[Prediction]]) -> None:
        self.name = name
        self.true = np.array([PLANES.index(row.plane) for row in seeds[0]])
        self.probabilities = np.array([[row.probabilities for row in rows] for rows in seeds])
        self.patients = np.array([row.patient_key for row in seeds[0]])
        self.sites = np.array([row.site for row in seeds[0]])
        self.labels = sorted(set(self.true.tolist()))
        self.correct = (self.probabilities.argmax(2) == self.true).astype(float)

    def score(self, name: str, interval: Interval, note: str, group: str = "all") -> Score:
        """A row of the results table."""
        protocol: Protocol = "prompt" if self.name == "prompt" else "transfer"
        return Score.of(
            interval,
            note=note,
            name=name,
            arm=self.name,
            protocol=protocol,
            group=group,
            n_seeds=len(self.probabilities),
        )


def arm_scores(arm: Arm, config: ScoreConfig) -> list[Score]:
    """Accuracy, macro F1 and AUC of an arm, and its accuracy on each site."""
    shown = ", ".join(PLANES[label] for label in arm.labels)
    limited = [restricted(p, arm.labels) for p in arm.probabilities]

    def interval(of_seed: Callable[[int, np.ndarray], float]) -> Interval:
        seeds = range(len(arm.probabilities))
        return cluster_bootstrap(
            lambda images: sum(of_seed(seed, images) for seed in seeds) / len(seeds),
            arm.patients, strata=arm.sites, draws=config.draws, seed=config.seed, level=config.level,
        )  # fmt: skip

    decided = arm.probabilities.argmax(2)
    f1 = interval(lambda s, i: macro_f1(arm.true[i], decided[s, i], arm.labels))
    rows = [
        arm.score("accuracy", _accuracy(arm, slice(None), config), "decision among all five planes"),
        arm.score("macro F1", f1, f"mean over {shown}; decision among all five planes"),
    ]
    if len(arm.labels) > 1:
        among = interval(lambda s, i: accuracy(arm.true[i], limited[s][i].argmax(1)))
        auc = interval(lambda s, i: macro_auc(arm.true[i], limited[s][i], arm.labels))
        rows += [
            arm.score("accuracy among the planes shown", among, f"decision among {shown}"),
            arm.score("macro AUC", auc, f"one-vs-rest from probabilities, mean over {shown}"),
        ]
    sites = sorted(set(arm.sites.tolist()))
    return rows + [arm.score("accuracy", _accuracy(arm, arm.sites == s, config), "one site", s) for s in sites]


def _accuracy(arm: Arm, chosen: np.ndarray | slice, config: ScoreConfig) -> Interval:
    return _mean(arm.correct[:, chosen], arm.patients[chosen], arm.sites[chosen], config, RIGHT_OR_WRONG)


def _mean(values: np.ndarray, patients: np.ndarray, sites: np.ndarray, config: ScoreConfig, span: Span) -> Interval:
    """Mean and interval of per-image values (seeds, n): over seeds and patients, or patients for one seed."""
    draws, seed, level = config.draws, config.seed, config.level
    if len(values) > 1:
        return seed_bootstrap(values, patients, strata=sites, draws=draws, seed=seed, level=level, span=span)

    def mean(images: np.ndarray) -> float:
        return float(values[0, images].mean())

    return cluster_bootstrap(mean, patients, strata=sites, draws=draws, seed=seed, level=level, span=span)


def contrasts(arms: Mapping[str, Arm], config: ScoreConfig) -> list[Score]:
    """The declared contrast in accuracy, then every other arm minus the baseline, corrected by Holm over these."""
    declared, baseline = (arms[name] for name in config.contrast)
    others = [
        arm
        for name, arm in arms.items()
        if name not in (*config.contrast, "prompt") and len(arm.probabilities) == len(baseline.probabilities)
    ]
    first, *found = (_contrast(arm, baseline, config) for arm in (declared, *others))
    corrected = iter(holm([p for _, p in found if p is not None]))
    rows = [_said(*first, "declared", "declared before the run")]
    for row, p in found:
        by_holm = "exploratory" if p is None else f"exploratory; by Holm over {len(found)} p = {next(corrected):.4f}"
        rows.append(_said(row, p, "exploratory", by_holm))
    return rows


def _contrast(arm: Arm, baseline: Arm, config: ScoreConfig) -> tuple[Score, float | None]:
    """Accuracy of an arm minus that of its baseline on the same images, seed by seed; p of the sign-flip test."""
    gain = _mean(arm.correct - baseline.correct, baseline.patients, baseline.sites, config, DIFFERENCE)
    row = arm.score(f"accuracy, {arm.name} minus {baseline.name}", gain, "")
    row = row.model_copy(update={"arm": f"{arm.name} - {baseline.name}"})
    if gain.clusters < 2:
        return row, None
    return row, sign_flip_test(baseline.correct.mean(0), arm.correct.mean(0), baseline.patients, seed=config.seed)


def _said(row: Score, p: float | None, role: Role, what: str) -> Score:
    test = "" if p is None else f"sign-flip permutation of patients, these training seeds as given: p = {p:.4f}"
    return row.model_copy(update={"role": role, "note": "; ".join(filter(None, (what, test, row.note)))})
