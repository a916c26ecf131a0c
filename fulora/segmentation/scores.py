"""Scores of segmentation arms with patient-clustered intervals, and arms compared. Torch-free.

Means include failures: an empty mask has the worst overlap, and the image diagonal as its distance. A head or an angle
that could not be measured has no error; their number is a score of its own. See `fulora.segmentation.mask_metrics`.
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
"""The union of all structures of masks with several."""


class MaskScoreConfig(Config):
    """Bootstrap, tests, comparisons and metrics of segmentation scores.

    Attributes:
        draws, level, seed: of the bootstrap over patients and training seeds.
        permutations: of patients in each test.
        comparisons: which arms are compared. p-values of undeclared comparisons are adjusted by Holm.
        metrics: names from `fulora.segmentation.mask_metrics`, compared and shown in this order. By default Dice, the
            challenge's S and absolute differences are compared, and distances and failures are shown as well.
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
    """The ids, patients and sites of the measured images."""

    ids: tuple[str, ...]
    patients: Shaped[np.ndarray, " n"]
    sites: Shaped[np.ndarray, " n"]

    @classmethod
    def of(cls, rows: Sequence[Measurement]) -> "MeasuredImages":
        """Return the images of some rows, in order."""
        patients, sites = ([getattr(row, name) for row in rows] for name in ("patient_key", "site"))
        return cls(tuple(row.image_id for row in rows), np.array(patients), np.array(sites))


@dataclass(frozen=True)
class MetricColumn:
    """One metric of an arm, on one structure.

    Attributes:
        values: of each training seed and image; NaN if missing.
        failed: how many count as the worst value, or could not be measured.
    """

    metric: MaskMetric
    structure: str
    unit: str
    images: MeasuredImages
    values: Float[np.ndarray, "seeds n"]
    failed: int


@dataclass(frozen=True)
class MaskArm:
    """The measured metrics of one arm."""

    name: str
    columns: tuple[MetricColumn, ...]

    @property
    def whole(self) -> str:
        """The structure on which arms are compared: the union of all, or the only one."""
        structures = {column.structure for column in self.columns}
        return WHOLE if WHOLE in structures else next(iter(structures), WHOLE)

    def column(self, metric: MaskMetric, structure: str, unit: str) -> MetricColumn | None:
        """Return the column of a metric, structure and unit, if any."""
        key = metric.name, structure, unit
        return next((item for item in self.columns if (item.metric.name, item.structure, item.unit) == key), None)


def read_arm(name: str, seeds: Sequence[Sequence[Measurement]], config: MaskScoreConfig) -> MaskArm:
    """Build an arm from the measurements of its training seeds.

    Raises:
        ValueError: if the seeds measure different images.
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
    """Return the mean of each column over images and training seeds, and its quantiles, with intervals."""
    scores, metrics = [], select_mask_metrics(config.metrics)
    for column in arm.columns:
        if np.isnan(column.values).all(axis=1).any():
            continue  # a seed without any value, which the failures report
        scores.append(_score(arm, column, "mean", _mean_interval(column, config), metrics))
        for statistic, level in column.metric.quantiles.items():
            interval = cluster_bootstrap(
                partial(_quantile, column.values, level),
                column.images.patients,
                strata=column.images.sites,
                draws=config.draws,
                seed=config.seed,
                level=config.level,
            )
            scores.append(_score(arm, column, statistic, interval, metrics))
    return scores


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
    metric = column.metric
    missing = int(np.isnan(column.values).sum()) if metric.protocol == "segmentation" else 0
    score = Score.of(
        interval,
        quantity=metric.name,
        arm=arm.name,
        unit=column.unit,
        protocol=metric.protocol,
        n_seeds=len(column.values),
        note=f"{missing} images without a value are left out, over all seeds" if missing else "",
    )
    rank, failed = metrics.rank(metric), column.failed
    return score.changed(
        statistic=statistic, structure=column.structure, n_failed=failed, better=metric.better, rank=rank
    )


def comparisons(arms: Mapping[str, MaskArm], config: MaskScoreConfig) -> list[Score]:
    """Compare each pair of arms in each compared metric that both have; the declared pair is first.

    p is the larger of a sign-flip test over patients and, with three or more training seeds, a paired t test over
    seeds. For each metric, the p-values of undeclared pairs are adjusted by Holm.
    """
    config.comparisons.check([*arms])
    pairs, metrics = list(_pairs(arms, config.comparisons)), select_mask_metrics(config.metrics)
    scores: list[Score] = []
    for metric in metrics.compared:
        for unit in dict.fromkeys(c.unit for arm in arms.values() for c in arm.columns if c.metric == metric):
            rows = [
                row
                for pair in pairs
                if (row := _difference(arms[pair[0]], arms[pair[1]], metric, unit, config)) is not None
            ]
            scores += _adjusted(rows)
    return scores


def _pairs(arms: Mapping[str, MaskArm], config: ComparisonsConfig) -> Iterator[Pair]:
    named, baseline = config.pairs(), config.common()
    yield from named
    for name in arms:
        if baseline and name != baseline and (name, baseline) not in named:
            yield name, baseline


def _adjusted(rows: Sequence[Score]) -> Iterator[Score]:
    tested = [row.p for row in rows if row.role == "exploratory" and row.p is not None]
    adjusted = iter(holm(tested))
    for row in rows:
        holms = row.role == "exploratory" and row.p is not None
        yield row.changed(p_holm=next(adjusted), n_holm=len(tested)) if holms else row


def _difference(arm: MaskArm, other: MaskArm, metric: MaskMetric, unit: str, config: MaskScoreConfig) -> Score | None:
    structures = [c.structure for c in arm.columns if c.metric == metric]
    structure = arm.whole if arm.whole in structures else next(iter(structures), "")
    first, second = (one.column(metric, structure, unit) for one in (arm, other))
    if first is None or second is None:
        return None
    if first.images.ids != second.images.ids or first.values.shape != second.values.shape:
        raise ValueError(
            f"{arm.name} and {other.name} cannot be paired: they must measure the same images with as many seeds"
        )
    known = ~np.isnan(first.values - second.values).any(axis=0)
    patients, sites = first.images.patients[known], first.images.sites[known]
    if len(np.unique(patients)) < 2:
        return None
    gains = (first.values - second.values)[:, known]
    interval = weighted_bootstrap(
        [partial(mean, gain) for gain in gains],
        patients,
        strata=sites,
        draws=config.draws,
        seed=config.seed,
        level=config.level,
    )
    after, before = (column.values[:, known].mean(axis=0) for column in (first, second))
    over_patients = sign_flip_test(before, after, patients, draws=config.permutations, seed=config.seed)
    over_seeds = seeds_test(gains.mean(axis=1).tolist())
    return _score(arm, first, "mean", interval, select_mask_metrics(config.metrics)).changed(
        baseline=other.name,
        n_failed=int((~known).sum()),
        role="declared" if (arm.name, other.name) == config.comparisons.declared else "exploratory",
        p=max(over_patients, over_seeds or 0.0),
        p_patients=over_patients,
        test="sign flip",
        p_seeds=over_seeds,
    )
