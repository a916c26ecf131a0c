"""The classes of a table of predictions: the requested ones, those of a shipped label set, or the names in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fulora.data.label_set import LabelSet, LabelSetError, label_set, refuse_other_classes, shipped
from fulora.data.tables.cells import comparable_name, is_missing

RequestedClasses = LabelSet | Sequence[str]
"""The label set of the table, or names of further classes beside those recognised in it."""

MOST = 200
"""Values of `true` and `predicted` that can be names of classes."""


@dataclass(frozen=True)
class ClassHints:
    """What a table shows of its classes.

    Attributes:
        shown: the values of `true` and `predicted`.
        columns: the names of other columns.
        probable: names with a probability, such as that in `probability_NAME`.
        listed: length of its lists of probabilities; None if there are none.
    """

    shown: frozenset[str]
    columns: frozenset[str]
    probable: tuple[str, ...]
    listed: int | None


@dataclass(frozen=True)
class TableClasses:
    """The classes of a table.

    Attributes:
        names: those that may occur, in the order of every table.
        listed: those of a list of probabilities, in its order; empty if unknown.
        labels: their label set, if there is one; no other class may occur then.
        negative: the negative class; None if there is none, or it is unknown.
        notes: messages on assumptions.
    """

    names: tuple[str, ...]
    listed: tuple[str, ...]
    labels: LabelSet | None = None
    negative: str | None = None
    notes: tuple[str, ...] = ()


def classes_of(hints: ClassHints, requested: RequestedClasses, own: LabelSet | None) -> TableClasses:
    """Determine the classes of a table.

    They are those of the requested label set, or of the one beside the table. Else those of the shipped label set
    that more than half of the names in the table belong to. Else the names in the table.

    Args:
        own: the label set beside the table.

    Raises:
        LabelSetError: if two label sets differ, names are ambiguous, or there are more names than classes.
    """
    if isinstance(requested, LabelSet) and own is not None:
        refuse_other_classes(requested, own, name="the requested labels", other_name="the predictions")
    labels = requested if isinstance(requested, LabelSet) else own
    if labels is not None:
        return TableClasses(labels.names, labels.names, labels, labels.negative)
    names: Sequence[str] = () if isinstance(requested, LabelSet) else requested
    recognised = recognise_label_set(hints)
    if recognised is None:
        every = _own_names(hints, names)
        notes = () if names or not every else (f"classes are the names in the file: {', '.join(every)}",)
        return TableClasses(every, tuple(names), notes=notes)
    in_order = ", ".join(recognised.names)
    order = f"lists of probabilities are taken in the order of the label set {recognised.name}: {in_order}"
    more = [name for name in names if name not in recognised.names]
    others = sorted(name for name in hints.shown if not is_missing(name) and name not in (*recognised.names, *names))
    taken = f"classes are those of the label set {recognised.name} and {', '.join(others)}; --labels says otherwise"
    notes = (*((order,) if hints.listed is not None else ()), *((taken,) if others else ()))
    return TableClasses((*recognised.names, *more), recognised.names, negative=recognised.negative, notes=notes)


def recognise_label_set(hints: ClassHints) -> LabelSet | None:
    """Return the shipped label set that fits a table best; None if its names are its own.

    More than half of the names in `true` and `predicted` are of its classes. Of several, the one with most of these
    names, then with most columns, then with as many classes as a list has, then the smallest.
    """
    shown, columns = (
        {comparable_name(name) for name in names if not is_missing(name)} for names in (hints.shown, hints.columns)
    )

    def fit(labels: LabelSet) -> tuple[int, int, bool, int]:
        names = {comparable_name(name) for name in labels.names}
        return len(shown & names), len(columns & names), hints.listed == len(names), -len(names)

    best = max((label_set(name) for name in shipped()), key=fit)
    return best if 2 * fit(best)[0] > len(shown) else None


def _own_names(hints: ClassHints, requested: Sequence[str]) -> tuple[str, ...]:
    shown = {name for name in hints.shown if not is_missing(name)} | {*requested}
    written = {comparable_name(name) for name in shown}
    names = shown | {name for name in hints.probable if comparable_name(name) not in written}
    if len(names) > MOST:
        raise LabelSetError(
            f"true and predicted have {len(names)} different values, and there are at most {MOST} classes; give the "
            "names of classes there"
        )
    ordered = sorted(names, key=lambda name: (name.casefold(), name))
    for one, other in pairwise(ordered):
        if one.casefold() == other.casefold():
            raise LabelSetError(f"{one!r} and {other!r} differ in case only; write a class in one way")
    return tuple(ordered)
