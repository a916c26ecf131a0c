"""The metrics of segmentation networks, one line each: how a metric is made of measurements, and where it is shown.

A new metric is a new line of `METRICS`: it is then computed of every arm, compared between arms and shown in reports
wherever a study names it under `score.metrics`. What it is made of is measured in `fulora.segmentation.measurements`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from fulora.data.results import Quantity
from fulora.data.score import Protocol, Statistic
from fulora.metrics.groups import Better
from fulora.metrics.metric_selection import select_from_table
from fulora.metrics.statistics import RIGHT_OR_WRONG, Span

Values = Float[np.ndarray, "seeds n"]


@dataclass(frozen=True)
class MeasuredValues:
    """One measured quantity of n images, a row a training seed.

    Attributes:
        values, references: as measured, and what they should be; NaN where there is none.
        failed: an empty mask, or nothing that could be measured.
    """

    values: Values
    references: Values
    failed: Bool[np.ndarray, "seeds n"]


def _as_measured(found: MeasuredValues) -> Values:
    return found.values


def _failed(found: MeasuredValues) -> Values:
    return np.asarray(found.failed.astype(float))


def _difference(found: MeasuredValues) -> Values:
    return np.asarray(found.values - found.references)


def _absolute_difference(found: MeasuredValues) -> Values:
    return np.asarray(np.abs(_difference(found)))


def _relative_difference(found: MeasuredValues) -> Values:
    return np.asarray(_absolute_difference(found) / found.references)


def _not_measured(found: MeasuredValues) -> Values:
    return np.asarray(np.isnan(_difference(found)).astype(float))


OVERLAP_QUANTILES: Mapping[Statistic, float] = {"median": 50.0, "percentile 5": 5.0}
DISTANCE_QUANTILES: Mapping[Statistic, float] = {"median": 50.0, "percentile 95": 95.0}
ERROR_QUANTILES: Mapping[Statistic, float] = {"percentile 95": 95.0}


@dataclass(frozen=True)
class MaskMetric:
    """One metric.

    Attributes:
        measured: the measured quantity that it is made of.
        of: its value of each image and training seed; NaN is left out of every mean.
        protocol: `segmentation`: a failure counts as the worst value; `biometry`: it is left out, and counted.
        better: which values are better.
        unit: "" is that of what is measured.
        quantiles: told beside the mean.
        span: between which values one image's lies, where every draw may give the same (see `statistics`).
        computed, compared, shown: in a study that names no metrics.
    """

    name: str
    measured: Quantity
    of: Callable[[MeasuredValues], Values]
    protocol: Protocol = "segmentation"
    better: Better = "higher"
    unit: Literal["", "1"] = ""
    quantiles: Mapping[Statistic, float] = field(default_factory=dict)
    span: Span | None = None
    computed: bool = True
    compared: bool = False
    shown: bool = False


METRICS = (
    MaskMetric("Dice", "dice", _as_measured, quantiles=OVERLAP_QUANTILES, compared=True, shown=True),
    MaskMetric("failures", "dice", _failed, better="lower", unit="1", span=RIGHT_OR_WRONG, shown=True),
    MaskMetric("IoU", "iou", _as_measured),
    MaskMetric("HD", "hd", _as_measured, better="lower"),
    MaskMetric("HD95", "hd95", _as_measured, better="lower", quantiles=DISTANCE_QUANTILES, shown=True),
    MaskMetric("ASSD", "assd", _as_measured, better="lower", shown=True),
    MaskMetric("NSD", "nsd", _as_measured),
    MaskMetric("challenge S", "psfhs_s", _as_measured, compared=True, shown=True),
    MaskMetric(
        "circumference absolute difference",
        "hc",
        _absolute_difference,
        "biometry",
        "lower",
        quantiles=ERROR_QUANTILES,
        compared=True,
        shown=True,
    ),
    MaskMetric("circumference difference", "hc", _difference, "biometry", "", shown=True),
    MaskMetric(
        "circumference failures", "hc", _not_measured, "biometry", "lower", "1", span=RIGHT_OR_WRONG, shown=True
    ),
    MaskMetric(
        "circumference relative difference", "hc", _relative_difference, "biometry", "lower", "1", computed=False
    ),
    MaskMetric(
        "AoP absolute difference",
        "aop",
        _absolute_difference,
        "biometry",
        "lower",
        quantiles=ERROR_QUANTILES,
        compared=True,
        shown=True,
    ),
    MaskMetric("AoP difference", "aop", _difference, "biometry", "", shown=True),
    MaskMetric("AoP failures", "aop", _not_measured, "biometry", "lower", "1", span=RIGHT_OR_WRONG, shown=True),
)


@dataclass(frozen=True)
class MaskMetricSelection:
    """The metrics of a study: all that are computed, and those compared and shown, in the study's order."""

    computed: tuple[MaskMetric, ...]
    compared: tuple[MaskMetric, ...]
    shown: tuple[MaskMetric, ...]

    def rank(self, metric: MaskMetric) -> int:
        """The place of a metric among those shown, from 1; 0 where it is not."""
        return self.shown.index(metric) + 1 if metric in self.shown else 0


def select_mask_metrics(names: Sequence[str] = ()) -> MaskMetricSelection:
    """The metrics that a study names, compared and shown in that order; the usual ones where it names none.

    Raises:
        ValueError: there is no such metric, or one is named twice.
    """
    return MaskMetricSelection(*select_from_table(METRICS, names))
