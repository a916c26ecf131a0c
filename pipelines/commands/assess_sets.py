"""The sets that `fulora assess` compares, and the classes that they have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fulora.progress import note

if TYPE_CHECKING:
    from fulora.assessment.pictures import Pictures
    from fulora.assessment.sets import AssessedSets
    from fulora.data.label_set import LabelSet


def sets_given(synthetic: Path, real: Path, train: Path | None, labels: str | None) -> "AssessedSets":
    """The pictures of image sets or folders.

    Args:
        real, train: one image set for both is divided by its splits.
        labels: a label set by its name or the path of its file. By default that of the image sets, else the names of
            class folders.

    Raises:
        LabelSetError, ConfigError: no such label set, or two of them have other classes.
        PicturesError: a folder without pictures, or a set without the splits that are needed.
    """
    from fulora.assessment.pictures import UNKNOWN, read_pictures
    from fulora.assessment.sets import AssessedSets
    from fulora.data.label_set import LabelSet

    given = [synthetic, real, *([] if train is None else [train])]
    known = _labels(labels, given)
    made, (held_out, trained) = read_pictures(synthetic, known), _real(real, train, known)
    if known is None:
        parts = (made, held_out, *([] if trained is None else [trained]))
        names = {str(plane) for part in parts for plane in part.planes} - {UNKNOWN}
        known = LabelSet.derived(names) if names else None
        if names:
            note(f"classes by the names of folders: {', '.join(sorted(names))}; --labels gives them prompts")
    return AssessedSets(made, held_out, trained, known)


def _labels(named: str | None, folders: Sequence[Path]) -> "LabelSet | None":
    from fulora.data.image_set import ImageSet
    from fulora.data.label_set import label_set, refuse_other_classes

    found = {} if named is None else {f"--labels {named}": label_set(named)}
    sets = (ImageSet(folder, "") for folder in dict.fromkeys(folders))
    found |= {str(images.path): images.label_set() for images in sets if next(images.iter_rows(), None) is not None}
    for whom, theirs in list(found.items())[1:]:
        refuse_other_classes(next(iter(found.values())), theirs, name=next(iter(found)), other_name=whom)
    return next(iter(found.values()), None)


def _real(real: Path, train: Path | None, labels: "LabelSet | None") -> tuple["Pictures", "Pictures | None"]:
    from fulora.assessment.pictures import PicturesError, of_rows, read_pictures
    from fulora.data.image_set import ImageSet

    if train is None:
        return read_pictures(real, labels), None
    if real.resolve() != train.resolve():
        return read_pictures(real, labels), read_pictures(train, labels)
    images = ImageSet(real, "")
    trained, held_out = images.rows("train"), images.rows("validation") or images.rows("test")
    if not trained or not held_out:
        raise PicturesError(f"{real}: has no training split beside others; give --real and --train as two sets")
    return of_rows(images, held_out), of_rows(images, trained)
