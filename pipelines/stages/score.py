"""Classification scores with patient-clustered intervals: by arm, by site, and the contrast the study is about."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.data.labels import PLANES
from fulora.data.results import Prediction, Predictions, Protocol, Score, ScoreConfig, Scores, write_table
from fulora.stage import stage

if TYPE_CHECKING:
    import numpy as np

    from fulora.metrics.statistics import Interval


class Arm:
    """The predictions of one arm as arrays: `true` (n,), `probabilities` (seeds, n, 5), `patients` and `sites` (n,)."""

    def __init__(self, name: str, seeds: Sequence[Sequence[Prediction]]) -> None:
        import numpy as np

        self.name = name
        self.true = np.array([PLANES.index(row.plane) for row in seeds[0]])
        self.probabilities = np.array([[row.probabilities for row in rows] for rows in seeds])
        self.patients = np.array([row.patient_key for row in seeds[0]])
        self.sites = np.array([row.site for row in seeds[0]])
        self.labels = sorted(set(self.true.tolist()))
        self.correct = (self.probabilities.argmax(2) == self.true).astype(float)

    def score(self, name: str, interval: "Interval", note: str, group: str = "all") -> Score:
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


@stage(version=1)
def score(out: Path, config: ScoreConfig, predictions: Mapping[str, Sequence[Predictions]]) -> Scores:
    """Accuracy, macro-F1 and AUC of each arm, accuracy of each site, and `hybrid` minus `real`.

    What cannot be resampled (a site with one patient) has no interval, and its note says so; AUC needs two planes.

    Args:
        predictions: by arm, one a training seed. All arms predict the same images in the same order.
    """
    arms = {name: Arm(name, [item.rows() for item in seeds]) for name, seeds in predictions.items()}
    rows = [row for arm in arms.values() for row in _scores(arm, config)]
    write_table(out, [*rows, _contrast(arms["real"], arms["hybrid"], config)])
    return Scores(out, "")


def _scores(arm: Arm, config: ScoreConfig) -> list[Score]:
    from fulora.metrics.classification import accuracy, macro_auc, macro_f1, restricted

    shown = ", ".join(PLANES[label] for label in arm.labels)
    limited = [restricted(p, arm.labels) for p in arm.probabilities]

    def interval(of_seed: Callable[[int, "np.ndarray"], float]) -> "Interval":
        from fulora.metrics.statistics import cluster_bootstrap

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


def _accuracy(arm: Arm, chosen: "np.ndarray | slice", config: ScoreConfig) -> "Interval":
    return _mean(arm.correct[:, chosen], arm.patients[chosen], arm.sites[chosen], config)


def _mean(values: "np.ndarray", patients: "np.ndarray", sites: "np.ndarray", config: ScoreConfig) -> "Interval":
    """Mean and interval of per-image values (seeds, n): over seeds and patients, or patients for one seed."""
    from fulora.metrics.statistics import cluster_bootstrap, seed_bootstrap

    draws, seed, level = config.draws, config.seed, config.level
    if len(values) > 1:
        return seed_bootstrap(values, patients, strata=sites, draws=draws, seed=seed, level=level)

    def mean(images: "np.ndarray") -> float:
        return float(values[0, images].mean())

    return cluster_bootstrap(mean, patients, strata=sites, draws=draws, seed=seed, level=level)


def _contrast(real: Arm, hybrid: Arm, config: ScoreConfig) -> Score:
    """Accuracy of `hybrid` minus accuracy of `real` on the same images, seed by seed."""
    from fulora.metrics.statistics import sign_flip_test

    gain = _mean(hybrid.correct - real.correct, real.patients, real.sites, config)
    note = ""
    if gain.clusters > 1:
        p = sign_flip_test(real.correct.mean(0), hybrid.correct.mean(0), real.patients, seed=config.seed)
        note = f"sign-flip permutation of patients, these training seeds as given: p = {p:.4f}"
    return hybrid.score("accuracy, hybrid minus real", gain, note).model_copy(update={"arm": "hybrid - real"})
