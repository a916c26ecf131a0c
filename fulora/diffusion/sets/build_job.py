"""The classes that `fulora generate` draws: those it was told, or that its LoRAs or start images have."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fulora.data.label_set import LabelSet

USUAL = "fetal_planes"
"""Where nothing says what is to be drawn."""


def labels_given(named: str | None, loras: Sequence[Path], start: Path | None) -> "LabelSet":
    """The label set: the one named, that of the LoRAs, that of the images to start from, or `USUAL`.

    Args:
        named: a shipped label set's name, or the path of a file.
        loras: files of LoRAs; fulora's have their label set beside them, and others are taken for any.

    Raises:
        LabelSetError, ConfigError: no such label set, or two of them have other classes.
        DamagedFileError: a file that is no label set.
    """
    from fulora.data.label_set import FILE, label_set, read_label_set, refuse_other_classes

    found = {} if named is None else {f"--labels {named}": label_set(named)}
    found |= {f"the LoRA {path}": read_label_set(path.parent) for path in loras if (path.parent / FILE).is_file()}
    if start is not None:
        found[f"the images of --start {start}"] = read_label_set(start)
    (first, ours), *others = found.items() if found else [("", label_set(USUAL))]
    for other, theirs in others:
        refuse_other_classes(ours, theirs, name=first, other_name=other)
    return ours
