"""Compare the classes of training and test images: a study stops at a difference that its config does not accept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.stage import Artifact, stage


@dataclass(frozen=True)
class ClassTable(Artifact):
    """`classes.json`: images of each class, of every training set by its place in the config, and of the test set."""


@stage(version=1)
def count_classes(
    out: Path, accepted: Sequence[str], training: Mapping[str, ImageSet], tested_on: ImageSet, few: ImageSet | None
) -> ClassTable:
    """Count the images of each class.

    Args:
        accepted: classes that only training or only test images may show.
        training: the real images that classifiers are trained on, by their place in the config.
        few: the few patients of a few-shot head, and its test patients.

    Raises:
        MissingClassError: if only training or only test images show another class.
    """
    import json

    from fulora.data.class_counts import check_classes, class_counts

    compared = [class_counts(training, tested_on)]
    if few is not None:
        compared.append(class_counts({"few_shot.images": few}, few))
    for counts in compared:
        check_classes(counts, accepted)
    tables = [{"training": counts.training, "test": counts.test} for counts in compared]
    (out / "classes.json").write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    return ClassTable(out, "")
