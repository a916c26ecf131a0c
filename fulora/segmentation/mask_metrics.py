"""The metrics of segmentation networks: how each is computed from measurements, and where it is reported.

A new metric is a new line of `METRICS`; studies then name it under `score.metrics`. The quantities are measured in
`fulora.segmentation.measurements`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from fulora.data.results import Quantity
from fulora.data.score import Protocol, Statistic
from fulora.metrics.image_groups import Better
from fulora.metrics.metric_table import select_from_table
from fulora.metrics.statistics import RIGHT_OR_WRONG, Span

Values = Float[np.ndarray, "seeds n"]


@dataclass(frozen=True)
class MeasuredValues:
    """One quantity of n images, a row per training seed.

    Attributes:
        values, references: measured on predicted and on reference masks; NaN if missing.
        failed: whether the mask is empty or cannot be measured.
    """

    values: Values
    references: Values
    failed: Bool[np.ndarray, "seeds n"]


def _as_measured(measured: MeasuredValues) -> Values:
    return measured.values


def _failed(measured: MeasuredValues) -> Values:
    return np.asarray(measured.failed.astype(float))


def _difference(measured: MeasuredValues) -> Values:
    return np.asarray(measured.values - measured.references)


def _error(measured: MeasuredValues) -> Values:
    return np.asarray(np.abs(_difference(measured)))


def _relative_error(measured: MeasuredValues) -> Values:
    return np.asarray(_error(measured) / measured.references)


def _missing(measured: MeasuredValues) -> Values:
    return np.asarray(np.isnan(_difference(measured)).astype(float))


OVERLAP_QUANTILES: Mapping[Statistic, float] = {"median": 50.0, "percentile 5": 5.0}
DISTANCE_QUANTILES: Mapping[Statistic, float] = {"median": 50.0, "percentile 95": 95.0}
P95: Mapping[Statistic, float] = {"percentile 95": 95.0}


@dataclass(frozen=True)
class MaskMetric:
    """One metric.

    Attributes:
        measured: the quantity from which it is computed.
        of: returns its value for each image and training seed; means ignore NaN.
        protocol: `segmentation`: a failure counts as the worst value; `biometry`: it is excluded, and counted.
        better: which values are better.
        unit: "" for the unit of the quantity.
        quantiles: reported beside the mean.
        span: the range of one image's values, for samples in which all are equal (see `fulora.metrics.statistics`).
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
        "circumference absolute difference", "hc", _error, "biometry", "lower", quantiles=P95, compared=True, shown=True
    ),
    MaskMetric("circumference difference", "hc", _difference, "biometry", "", shown=True),
    MaskMetric("circumference failures", "hc", _missing, "biometry", "lower", "1", span=RIGHT_OR_WRONG, shown=True),
    MaskMetric("circumference relative difference", "hc", _relative_error, "biometry", "lower", "1", computed=False),
    MaskMetric("AoP absolute difference", "aop", _error, "biometry", "lower", quantiles=P95, compared=True, shown=True),
    MaskMetric("AoP difference", "aop", _difference, "biometry", "", shown=True),
    MaskMetric("AoP failures", "aop", _missing, "biometry", "lower", "1", span=RIGHT_OR_WRONG, shown=True),
)


@dataclass(frozen=True)
class MaskMetricSelection:
    """The metrics of a study, in its order: those computed, compared and shown."""

    computed: tuple[MaskMetric, ...]
    compared: tuple[MaskMetric, ...]
    shown: tuple[MaskMetric, ...]

    def rank(self, metric: MaskMetric) -> int:
        """Return the position of a metric among those shown, from 1; 0 if it is not shown."""
        return self.shown.index(metric) + 1 if metric in self.shown else 0


def select_mask_metrics(names: Sequence[str] = ()) -> MaskMetricSelection:
    """Return the metrics that a study names, compared and shown in that order; by default those marked in `METRICS`.

    Raises:
        ValueError: if a metric does not exist, or is a duplicate.
    """
    return MaskMetricSelection(*select_from_table(METRICS, names))
