"""Images of each class in training and test sets, and classes that are missing on one side."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, refuse_other_classes


class MissingClassError(ValueError):
    """A class that the test set has and training lacks, or the other way round."""


@dataclass(frozen=True)
class ClassCounts:
    """Images of each class.

    Attributes:
        labels: the classes, whose order tables have.
        training: of every set that classifiers are trained on, by the set's name.
        test: of the test set.
    """

    labels: LabelSet
    training: Mapping[str, Mapping[str, int]]
    test: Mapping[str, int]

    def classes(self) -> list[str]:
        """Return the classes that have an image in any set, in order."""
        sets = (self.test, *self.training.values())
        return [name for name in self.labels.names if any(counts.get(name) for counts in sets)]

    def missing(self, accepted: Collection[str] = ()) -> dict[str, list[str]]:
        """Return, for each class that only one side has, sentences on the consequences.

        Args:
            accepted: classes to leave out.
        """
        sentences: dict[str, list[str]] = {}
        for name in self.classes():
            tested = self.test.get(name, 0)
            for training, counts in self.training.items():
                trained = counts.get(name, 0)
                if name not in accepted and bool(tested) != bool(trained):
                    sentences.setdefault(name, []).append(_describe_imbalance(name, training, trained, tested))
        return sentences

    def sentences(self) -> list[str]:
        """Return the sentences of `missing`."""
        return [sentence for sentences in self.missing().values() for sentence in sentences]

    def table(self) -> list[str]:
        """Return the counts as lines of text, a row for each set."""
        names = self.classes()
        rows = {**{f"training ({name})": counts for name, counts in self.training.items()}, "test": self.test}
        width = max(map(len, rows))
        head = " " * width + "".join(name.rjust(len(name) + 3) for name in names)
        body = (
            title.ljust(width) + "".join(str(counts.get(name, 0)).rjust(len(name) + 3) for name in names)
            for title, counts in rows.items()
        )
        return [head, *body]

    def explained(self, accepted: Collection[str] = ()) -> str:
        """Return the error message: missing classes that are not accepted, the counts, and what to do."""
        missing = self.missing(accepted)
        names = ", ".join([*accepted, *missing])
        return "\n".join(
            [
                "training and test images do not show the same classes",
                *self.table(),
                *(sentence for sentences in missing.values() for sentence in sentences),
                "Add images of the missing class, or take the class out of the other set; or set "
                f"accept_missing_classes=[{names}]: the study then runs, and its report says so in red.",
            ]
        )


def _describe_imbalance(name: str, training: str, trained: int, tested: int) -> str:
    if tested:
        return (
            f"Training ({training}) has no image of the class '{name}' and the test set has {tested}: a classifier "
            "cannot learn it, and these test images count as wrong."
        )
    return (
        f"The test set has no image of the class '{name}' and training ({training}) has {trained}: no score says how "
        "well it is recognised, and every test image that is taken for it counts as wrong."
    )


def class_counts(training: Mapping[str, ImageSet], tested_on: ImageSet) -> ClassCounts:
    """Count the training split of each curated set, and the test split of `tested_on`.

    Raises:
        LabelSetError: if a set has other classes.
    """
    labels = tested_on.label_set()
    for name, images in training.items():
        refuse_other_classes(
            labels, images.label_set(), name=f"the images {tested_on.path.name}", other_name=f"training ({name})"
        )
    trained = {name: _counted(images.rows("train")) for name, images in training.items()}
    return ClassCounts(labels, trained, _counted(tested_on.rows("test")))


def missing_classes(training: Mapping[str, ImageSet], tested_on: ImageSet, few: ImageSet | None) -> list[str]:
    """Return the warnings of a report on classes that only training or only test images show.

    Args:
        few: the images of a few-shot head, which is trained and tested on patients of its own.
    """
    sentences = class_counts(training, tested_on).sentences()
    return sentences + (class_counts({"few_shot.images": few}, few).sentences() if few else [])


def _counted(rows: Iterable[Image]) -> Counter[str]:
    return Counter(str(row.plane) for row in rows)


def check_classes(counts: ClassCounts, accepted: Collection[str] = ()) -> None:
    """Raise MissingClassError if a class that is not accepted has only training or only test images."""
    if counts.missing(accepted):
        raise MissingClassError(counts.explained(accepted))
