"""Which classes a CLIP was tuned on. Data, no torch."""

from pathlib import Path

from fulora.data.label_set import FILE, LabelSet, read_label_set, refuse_other_classes

OLD = "trained_on.json"
"""Of a CLIP that an earlier version of fulora tuned, which did not write down its classes."""


def tuned_on(folder: Path) -> LabelSet | None:
    """The classes that a CLIP was tuned on; None where it was not tuned: it can be asked about any.

    Raises:
        LabelSetError: it was tuned before there were label sets.
    """
    tuned = (folder / FILE).is_file() or (folder / OLD).is_file()
    return read_label_set(folder) if tuned else None


def refuse_tuned_on_others(folder: Path, labels: LabelSet, *, whose: str) -> None:
    """Refuse a CLIP that was tuned on other classes.

    Args:
        labels: the classes that it is asked about.
        whose: what they belong to, for the message.

    Raises:
        LabelSetError: it was.
    """
    known = tuned_on(folder)
    if known is not None:
        refuse_other_classes(labels, known, who=whose, whom=f"the tuned CLIP {folder.name}")
