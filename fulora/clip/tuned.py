"""Which classes a CLIP was tuned on. Data, no torch."""

from pathlib import Path

from fulora.data.label_set import FILE, LabelSet, read_label_set, refuse_other_classes


def tuned_on(folder: Path) -> LabelSet | None:
    """The classes that a CLIP was tuned on; None where it was not tuned: it can be asked about any.

    Raises:
        DamagedFileError: the file that says them is no label set.
    """
    return read_label_set(folder) if (folder / FILE).is_file() else None


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
        refuse_other_classes(labels, known, name=whose, other_name=f"the tuned CLIP {folder.name}")
