"""Scores of segmentation arms with patient-clustered intervals, and arms compared. Torch-free.

A failure never drops out of a mean: an empty mask has the worst overlap and the image diagonal as its distance. A head
or an angle that could not be measured has no error; how many those are is a score of its own. Which metrics there are
stands in `fulora.segmentation.mask_metrics`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int, Shaped
from pydantic import Field, field_validator

from fulora.config import Config
from fulora.data.comparisons import ComparisonsConfig, Pair
from fulora.data.results import Measurement
from fulora.data.score import Score, Statistic
from fulora.metrics.paired_tests import holm, seeds_test
from fulora.metrics.statistics import Interval, cluster_bootstrap, sign_flip_test, weighted_bootstrap
from fulora.metrics.weighted_scores import Values, Weights, mean
from fulora.segmentation.mask_metrics import MaskMetric, MaskMetricSelection, MeasuredValues, select_mask_metrics

WHOLE = "all"
"""The structure that is everything but background, where masks hold several."""


class MaskScoreConfig(Config):
    """How intervals are drawn, and which arms are compared in which metrics.

    Attributes:
        draws, level, seed: of the bootstrap over patients and training seeds.
        permutations: of patients in each test.
        comparisons: which arms are compared. p-values of those that were not declared are adjusted by Holm.
        metrics: names from `fulora.segmentation.mask_metrics` that are compared and shown, in this order. Without any:
            Dice, the challenge's S and absolute differences are compared; shown also distances and failures.
    """

    draws: int = Field(default=2000, ge=100)
    level: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0
    permutations: int = Field(default=9999, ge=100)
    comparisons: ComparisonsConfig = Field(default_factory=ComparisonsConfig)
    metrics: tuple[str, ...] = ()

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        select_mask_metrics(value)
        return value


@dataclass(frozen=True)
class MeasuredImages:
    """The images that something was measured on: their ids, whom they show, and where."""

    ids: tuple[str, ...]
    patients: Shaped[np.ndarray, " n"]
    sites: Shaped[np.ndarray, " n"]

    @classmethod
    def of(cls, rows: Sequence[Measurement]) -> "MeasuredImages":
        """Those of some rows, in order."""
        patients, sites = ([getattr(row, name) for row in rows] for name in ("patient_key", "site"))
        return cls(tuple(row.image_id for row in rows), np.array(patients), np.array(sites))


@dataclass(frozen=True)
class MetricColumn:
    """One metric of an arm, on one structure.

    Attributes:
        values: of every training seed and image; NaN where there is none.
        failed: how many of them count as the worst value, or could not be measured.
    """

    metric: MaskMetric
    structure: str
    unit: str
    images: MeasuredImages
    values: Float[np.ndarray, "seeds n"]
    failed: int


@dataclass(frozen=True)
class MaskArm:
    """What was measured of one arm."""

    name: str
    columns: tuple[MetricColumn, ...]

    @property
    def whole(self) -> str:
        """The structure that arms are compared on: everything but background, or the only one."""
        structures = {column.structure for column in self.columns}
        return WHOLE if WHOLE in structures else next(iter(structures), WHOLE)

    def column(self, metric: MaskMetric, structure: str, unit: str) -> MetricColumn | None:
        """The column of a metric on a structure, in a unit."""
        key = metric.name, structure, unit
        return next((item for item in self.columns if (item.metric.name, item.structure, item.unit) == key), None)


def read_arm(name: str, seeds: Sequence[Sequence[Measurement]], config: MaskScoreConfig) -> MaskArm:
    """The arm of some training seeds' measurements.

    Raises:
        ValueError: the seeds measure other images.
    """
    columns = []
    for key in dict.fromkeys((row.quantity, row.structure, row.unit) for row in seeds[0]):
        tables = [[row for row in rows if (row.quantity, row.structure, row.unit) == key] for rows in seeds]
        if any(MeasuredImages.of(rows).ids != MeasuredImages.of(tables[0]).ids for rows in tables):
            raise ValueError(f"arm {name!r}: its training seeds measure different images; give one test set")
        metrics = [metric for metric in select_mask_metrics(config.metrics).computed if metric.measured == key[0]]
        columns += [_column(metric, tables) for metric in metrics]
    return MaskArm(name, tuple(columns))


def _column(metric: MaskMetric, tables: Sequence[Sequence[Measurement]]) -> MetricColumn:
    first = tables[0][0]
    values = metric.of(
        MeasuredValues(
            np.array([[np.nan if row.value is None else row.value for row in rows] for rows in tables]),
            np.array([[row.reference or np.nan for row in rows] for rows in tables]),
            np.array([[bool(row.failure) for row in rows] for rows in tables]),
        )
    )
    failed = sum(bool(row.failure) and row.value is not None for rows in tables for row in rows)
    if metric.protocol == "biometry":
        failed = sum(row.value is None or not row.reference for rows in tables for row in rows)
    return MetricColumn(
        metric, first.structure, metric.unit or first.unit, MeasuredImages.of(tables[0]), values, failed
    )


def arm_scores(arm: MaskArm, config: MaskScoreConfig) -> list[Score]:
    """Mean of every column over images and training seeds, and some quantiles, each with its interval."""
    found, metrics = [], select_mask_metrics(config.metrics)
    for column in arm.columns:
        if np.isnan(column.values).all(axis=1).any():
            continue  # a seed that measured nothing: the failures say so
        found.append(_score(arm, column, "mean", _mean_interval(column, config), metrics))
        for statistic, level in column.metric.quantiles.items():
            interval = cluster_bootstrap(
                partial(_quantile, column.values, level),
                column.images.patients,
                strata=column.images.sites,
                draws=config.draws,
                seed=config.seed,
                level=config.level,
            )
            found.append(_score(arm, column, statistic, interval, metrics))
    return found


def _mean_interval(column: MetricColumn, config: MaskScoreConfig) -> Interval:
    return weighted_bootstrap(
        [partial(_mean_of_known, values) for values in column.values],
        column.images.patients,
        strata=column.images.sites,
        draws=config.draws,
        seed=config.seed,
        level=config.level,
        span=column.metric.span,
    )


def _mean_of_known(values: Float[np.ndarray, " n"], weights: Weights) -> Values:
    known = ~np.isnan(values)
    return mean(values[known], weights[:, known])


def _quantile(values: Float[np.ndarray, "seeds n"], level: float, images: Int[np.ndarray, " m"]) -> float:
    return float(np.nanpercentile(values[:, images], level, axis=1).mean())


def _score(
    arm: MaskArm, column: MetricColumn, statistic: Statistic, interval: Interval, metrics: MaskMetricSelection
) -> Score:
    lost = int(np.isnan(column.values).sum()) if column.metric.protocol == "segmentation" else 0
    made = Score.of(
        interval,
        quantity=column.metric.name,
        arm=arm.name,
        unit=column.unit,
        protocol=column.metric.protocol,
        n_seeds=len(column.values),
        note=f"{lost} images without a value are left out, over all seeds" if lost else "",
    )
    return made.changed(
        statistic=statistic,
        structure=column.structure,
        n_failed=column.failed,
        better=column.metric.better,
        rank=metrics.rank(column.metric),
    )


def comparisons(arms: Mapping[str, MaskArm], config: MaskScoreConfig) -> list[Score]:
    """Every named pair in each compared metric that both arms have; the declared pair first.

    p is the larger of a sign-flip test over patients and, with three training seeds or more, a paired t test over
    seeds. Of each metric, the p-values of the pairs that were not declared are adjusted by Holm.
    """
    config.comparisons.check([*arms])
    pairs, metrics = list(_pairs(arms, config.comparisons)), select_mask_metrics(config.metrics)
    found: list[Score] = []
    for metric in metrics.compared:
        for unit in dict.fromkeys(c.unit for arm in arms.values() for c in arm.columns if c.metric == metric):
            rows = [
                row
                for pair in pairs
                if (row := _difference(arms[pair[0]], arms[pair[1]], metric, unit, config)) is not None
            ]
            found += _adjusted(rows)
    return found


def _pairs(arms: Mapping[str, MaskArm], config: ComparisonsConfig) -> Iterator[Pair]:
    named, baseline = config.pairs(), config.common()
    yield from named
    for name in arms:
        if baseline and name != baseline and (name, baseline) not in named:
            yield name, baseline


def _adjusted(rows: Sequence[Score]) -> Iterator[Score]:
    """The comparisons of one metric, p-values of those that were not declared adjusted by Holm."""
    tested = [row.p for row in rows if row.role == "exploratory" and row.p is not None]
    adjusted = iter(holm(tested))
    for row in rows:
        holms = row.role == "exploratory" and row.p is not None
        yield row.changed(p_holm=next(adjusted), n_holm=len(tested)) if holms else row


def _difference(ours: MaskArm, other: MaskArm, metric: MaskMetric, unit: str, config: MaskScoreConfig) -> Score | None:
    structures = [c.structure for c in ours.columns if c.metric == metric]
    structure = ours.whole if ours.whole in structures else next(iter(structures), "")
    mine, theirs = (arm.column(metric, structure, unit) for arm in (ours, other))
    if mine is None or theirs is None:
        return None
    if mine.images.ids != theirs.images.ids or mine.values.shape != theirs.values.shape:
        raise ValueError(
            f"{ours.name} and {other.name} cannot be paired: they must measure the same images with as many seeds"
        )
    known = ~np.isnan(mine.values - theirs.values).any(axis=0)
    patients, sites = mine.images.patients[known], mine.images.sites[known]
    if len(np.unique(patients)) < 2:
        return None
    gains = (mine.values - theirs.values)[:, known]
    interval = weighted_bootstrap(
        [partial(mean, gain) for gain in gains],
        patients,
        strata=sites,
        draws=config.draws,
        seed=config.seed,
        level=config.level,
    )
    over_patients = sign_flip_test(
        theirs.values[:, known].mean(axis=0),
        mine.values[:, known].mean(axis=0),
        patients,
        draws=config.permutations,
        seed=config.seed,
    )
    over_seeds = seeds_test(gains.mean(axis=1).tolist())
    return _score(ours, mine, "mean", interval, select_mask_metrics(config.metrics)).changed(
        baseline=other.name,
        n_failed=int((~known).sum()),
        role="declared" if (ours.name, other.name) == config.comparisons.declared else "exploratory",
        p=max(over_patients, over_seeds or 0.0),
        p_patients=over_patients,
        test="sign flip",
        p_seeds=over_seeds,
    )
