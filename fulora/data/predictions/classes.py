"""The classes of a table of predictions: the requested ones, those of a shipped label set, or the names in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fulora.data.label_set import LabelSet, LabelSetError, label_set, refuse_other_classes, shipped
from fulora.data.tables.cells import comparable_name, is_missing

RequestedClasses = LabelSet | Sequence[str]
"""The label set of the table, or names of further classes beside those found in it."""

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


def classes_of(told: ClassHints, asked: RequestedClasses, own: LabelSet | None) -> TableClasses:
    """Determine the classes of a table.

    They are those of the requested label set, or of the one beside the table. Else those of the shipped label set
    that more than half of the names in the table belong to. Else the names in the table.

    Args:
        own: the label set beside the table.

    Raises:
        LabelSetError: if two label sets differ, names are ambiguous, or there are more names than classes.
    """
    if isinstance(asked, LabelSet) and own is not None:
        refuse_other_classes(asked, own, name="the requested labels", other_name="the predictions")
    labels = asked if isinstance(asked, LabelSet) else own
    if labels is not None:
        return TableClasses(labels.names, labels.names, labels, labels.negative)
    names: Sequence[str] = () if isinstance(asked, LabelSet) else asked
    found = recognise_label_set(told)
    if found is None:
        every = _own_names(told, names)
        notes = () if names or not every else (f"classes are the names in the file: {', '.join(every)}",)
        return TableClasses(every, tuple(names), notes=notes)
    order = f"lists of probabilities are taken in the order of the label set {found.name}: {', '.join(found.names)}"
    more = [name for name in names if name not in found.names]
    strange = sorted(name for name in told.shown if not is_missing(name) and name not in (*found.names, *names))
    taken = f"classes are those of the label set {found.name} and {', '.join(strange)}; --labels says otherwise"
    notes = (*((order,) if told.listed is not None else ()), *((taken,) if strange else ()))
    return TableClasses((*found.names, *more), found.names, negative=found.negative, notes=notes)


def recognise_label_set(told: ClassHints) -> LabelSet | None:
    """Return the shipped label set that fits a table best; None if its names are its own.

    More than half of the names in `true` and `predicted` are of its classes. Of several, the one with most of these
    names, then with most columns, then with as many classes as a list has, then the smallest.
    """
    shown, columns = (
        {comparable_name(name) for name in names if not is_missing(name)} for names in (told.shown, told.columns)
    )

    def fit(labels: LabelSet) -> tuple[int, int, bool, int]:
        names = {comparable_name(name) for name in labels.names}
        return len(shown & names), len(columns & names), told.listed == len(names), -len(names)

    best = max((label_set(name) for name in shipped()), key=fit)
    return best if 2 * fit(best)[0] > len(shown) else None


def _own_names(told: ClassHints, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the names in a table, in alphabetical order ignoring case."""
    shown = {name for name in told.shown if not is_missing(name)} | {*asked}
    written = {comparable_name(name) for name in shown}
    names = shown | {name for name in told.probable if comparable_name(name) not in written}
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
