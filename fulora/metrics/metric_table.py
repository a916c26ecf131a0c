"""Selection of the metrics that a study computes, compares and shows, for classifiers and segmentation networks."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class _TabulatedMetric(Protocol):
    """A metric of a table, and whether it is computed, compared and shown in studies that name no metrics."""

    @property
    def name(self) -> str: ...
    @property
    def computed(self) -> bool: ...
    @property
    def compared(self) -> bool: ...
    @property
    def shown(self) -> bool: ...


M = TypeVar("M", bound=_TabulatedMetric)


def select_from_table(table: Sequence[M], names: Sequence[str]) -> tuple[tuple[M, ...], tuple[M, ...], tuple[M, ...]]:
    """Return the metrics computed, compared and shown: the named ones, in that order; by default the usual ones.

    Raises:
        ValueError: if there is no such metric, or one is named twice.
    """
    known = {metric.name: metric for metric in table}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"metrics: there is no {unknown[0]!r}; there are {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ValueError(f"metrics: {', '.join(names)}: duplicate name")
    named = tuple(known[name] for name in names)
    computed = tuple(metric for metric in table if metric.computed or metric in named)
    if named:
        return computed, named, named
    return computed, tuple(m for m in table if m.compared), tuple(m for m in table if m.shown)
