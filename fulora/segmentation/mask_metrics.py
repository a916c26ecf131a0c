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
class Measured:
    """One measured quantity of n images, a row a training seed.

    Attributes:
        values, references: as measured, and what they should be; NaN where there is none.
        failed: an empty mask, or nothing that could be measured.
    """

    values: Values
    references: Values
    failed: Bool[np.ndarray, "seeds n"]


def _as_measured(found: Measured) -> Values:
    return found.values


def _failed(found: Measured) -> Values:
    return np.asarray(found.failed.astype(float))


def _difference(found: Measured) -> Values:
    return np.asarray(found.values - found.references)


def _absolute(found: Measured) -> Values:
    return np.asarray(np.abs(_difference(found)))


def _relative(found: Measured) -> Values:
    return np.asarray(_absolute(found) / found.references)


def _lost(found: Measured) -> Values:
    return np.asarray(np.isnan(_difference(found)).astype(float))


OF_OVERLAPS: Mapping[Statistic, float] = {"median": 50.0, "percentile 5": 5.0}
OF_DISTANCES: Mapping[Statistic, float] = {"median": 50.0, "percentile 95": 95.0}
OF_ERRORS: Mapping[Statistic, float] = {"percentile 95": 95.0}


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
    of: Callable[[Measured], Values]
    protocol: Protocol = "segmentation"
    better: Better = "higher"
    unit: Literal["", "1"] = ""
    quantiles: Mapping[Statistic, float] = field(default_factory=dict)
    span: Span | None = None
    computed: bool = True
    compared: bool = False
    shown: bool = False


METRICS = (
    MaskMetric("Dice", "dice", _as_measured, quantiles=OF_OVERLAPS, compared=True, shown=True),
    MaskMetric("failures", "dice", _failed, better="lower", unit="1", span=RIGHT_OR_WRONG, shown=True),
    MaskMetric("IoU", "iou", _as_measured),
    MaskMetric("HD", "hd", _as_measured, better="lower"),
    MaskMetric("HD95", "hd95", _as_measured, better="lower", quantiles=OF_DISTANCES, shown=True),
    MaskMetric("ASSD", "assd", _as_measured, better="lower", shown=True),
    MaskMetric("NSD", "nsd", _as_measured),
    MaskMetric("challenge S", "psfhs_s", _as_measured, compared=True, shown=True),
    MaskMetric(
        "circumference absolute difference",
        "hc",
        _absolute,
        "biometry",
        "lower",
        quantiles=OF_ERRORS,
        compared=True,
        shown=True,
    ),
    MaskMetric("circumference difference", "hc", _difference, "biometry", "", shown=True),
    MaskMetric("circumference failures", "hc", _lost, "biometry", "lower", "1", span=RIGHT_OR_WRONG, shown=True),
    MaskMetric("circumference relative difference", "hc", _relative, "biometry", "lower", "1", computed=False),
    MaskMetric(
        "AoP absolute difference", "aop", _absolute, "biometry", "lower", quantiles=OF_ERRORS, compared=True, shown=True
    ),
    MaskMetric("AoP difference", "aop", _difference, "biometry", "", shown=True),
    MaskMetric("AoP failures", "aop", _lost, "biometry", "lower", "1", span=RIGHT_OR_WRONG, shown=True),
)


@dataclass(frozen=True)
class Chosen:
    """The metrics of a study: all that are computed, and those compared and shown, in the study's order."""

    computed: tuple[MaskMetric, ...]
    compared: tuple[MaskMetric, ...]
    shown: tuple[MaskMetric, ...]

    def rank(self, metric: MaskMetric) -> int:
        """The place of a metric among those shown, from 1; 0 where it is not."""
        return self.shown.index(metric) + 1 if metric in self.shown else 0


def chosen(names: Sequence[str] = ()) -> Chosen:
    """The metrics that a study names, compared and shown in that order; the usual ones where it names none.

    Raises:
        ValueError: there is no such metric, or one is named twice.
    """
    return Chosen(*select_from_table(METRICS, names))
