"""The classes that a CLIP was fine-tuned on. Torch-free."""

from pathlib import Path

from fulora.data.label_set import FILE, ONE_LABEL_SET, LabelSet, read_label_set, refuse_other_classes


def tuned_on(folder: Path) -> LabelSet | None:
    """Return the classes that a CLIP was fine-tuned on; None if it was not, and can be used with any.

    Raises:
        DamagedFileError: if its `label_set.json` is damaged.
    """
    return read_label_set(folder) if (folder / FILE).is_file() else None


def refuse_tuned_on_others(folder: Path, labels: LabelSet, *, whose: str, advice: str = ONE_LABEL_SET) -> None:
    """Refuse a CLIP that was fine-tuned on other classes.

    Args:
        labels: the classes that it is to be used with.
        whose: what they belong to, for the message.
        advice: what to do, the last line of the message.

    Raises:
        LabelSetError: if its classes are others.
    """
    classes = tuned_on(folder)
    if classes is not None:
        other_name = f"the tuned CLIP {folder.name}"
        refuse_other_classes(labels, classes, name=whose, other_name=other_name, advice=advice)
