"""What a job predicts on: a split of an image set, a folder with classes, or pictures of which no class is known."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fulora import progress
from fulora.data.column_types import UNLABELLED
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, LabelSetError, refuse_other_classes
from fulora.data.results import Prediction
from fulora.intake.check.find_data_sets import find_data_sets
from fulora.intake.picture_files import PICTURES, list_folder
from fulora.intake.raw_image import SourceError
from fulora.workspace import Workspace
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import WORK, is_image_set, open_images
from pipelines.stages.take_tested import SplitChoice, TakeTestedConfig, take_tested

LISTS = (".csv", ".json", ".jsonl", ".xlsx")
"""Endings of files that may say the classes of the pictures beside them."""

NO_LABELS = "predictions only, no scores"


class UntestableImagesError(ValueError):
    """Images that cannot be predicted on. The message says which, why, and what to do."""


@dataclass(frozen=True)
class ImagesUnderTest:
    """Images that a job predicts on.

    Attributes:
        source: the image set that holds them, with all its splits; embeddings and training images are of this one.
        split: the split that is predicted on.
        labelled: whether the true class of every image is known; else there are predictions and no scores.
        notes: on how the images were read.
    """

    source: ImageSet
    split: SplitChoice
    labelled: bool
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Image]:
        """Return the rows that are predicted on, in the order of the predictions."""
        return self.source.rows(None if self.split == "all" else self.split)

    def notes_on(self, rows: Sequence[Image], labels: LabelSet) -> tuple[str, ...]:
        """Return how the images were read, and which classes none of them shows.

        Args:
            rows: those that are predicted on.
            labels: the classes that are predicted.
        """
        shown = {row.plane for row in rows}
        absent = [name for name in labels.names if name not in shown]
        of_classes = f"no image shows {', '.join(absent)}; scores are averaged over the classes that images show"
        return (*self.notes, *([of_classes] if absent and self.labelled else []))

    def of_classes(self, labels: LabelSet, work: Workspace, *, leave_out: Sequence[str] = ()) -> ImageSet:
        """Return an image set whose test split are these images, under the classes of what predicts.

        It is the source itself where that is the same: its test split, its classes in its order, nothing left out.

        Args:
            labels: the classes of the prompts or of the model.
            leave_out: classes of images that are left out, by name.

        Raises:
            LabelSetError: if an image shows a class that is neither in `labels` nor left out, or none of the set shows
                a class to leave out.
        """
        shown = Counter(row.plane for row in self.source.iter_rows())
        if absent := [name for name in leave_out if name not in shown]:
            raise LabelSetError(
                f"{self.source.path}: no image of {', '.join(map(repr, absent))}, which is to be left out; there are "
                f"{_counted(shown)}"
            )
        refuse_unnamed_classes(self.rows(), labels, leave_out=leave_out, where=str(self.source.path))
        if self.labelled and self.split == "test" and not leave_out and same_classes(self.source.label_set(), labels):
            return self.source
        return work.run(
            take_tested,
            TakeTestedConfig(classes=labels, split=self.split, leave_out=tuple(leave_out)),
            images=self.source,
        )


def describe_joined_patients(rows: Sequence[Image], predicted: Sequence[Prediction]) -> tuple[str, ...]:
    """Say that scores count patients with identical pictures as one, where there are any.

    Args:
        rows: the images that were predicted on.
        predicted: their predictions, in which such patients have one key.
    """
    patients, clusters = (len({row.patient_key for row in several}) for several in (rows, predicted))
    if clusters == patients:
        return ()
    return (f"{patients} patients are {clusters} in intervals and tests: some have identical pictures",)


def same_classes(labels: LabelSet, others: LabelSet) -> bool:
    """Return whether two label sets have the same classes in the same order, and the same negative one."""
    try:
        refuse_other_classes(labels, others, name="", other_name="")
    except LabelSetError:
        return False
    return True


def refuse_unnamed_classes(
    rows: Sequence[Image], labels: LabelSet, *, leave_out: Sequence[str] = (), where: str
) -> None:
    """Refuse images of classes that what predicts does not know.

    Args:
        leave_out: classes of images that are left out.
        where: the folder of the images, for the message.

    Raises:
        LabelSetError: if there are any, with their numbers.
    """
    counts = Counter(row.plane for row in rows if row.plane != UNLABELLED)
    others = {name: count for name, count in counts.items() if name not in (*labels.names, *leave_out)}
    if others:
        raise LabelSetError(
            f"{where}: {_counted(others)}: images of classes that are not predicted; predicted are "
            f"{', '.join(labels.names)}. Name every class of the images under the same name, or leave these images "
            f"out by name ({' '.join(f'--leave-out {name!r}' for name in others)}); if their folders are no classes, "
            "--unlabelled predicts without scores"
        )


def read_tested_images(
    images: str | Path | Images,
    settings: Mapping[str, object] | None = None,
    *,
    split: SplitChoice = "test",
    unlabelled: bool = False,
    work: str | Path = WORK,
    command: str = "",
) -> ImagesUnderTest:
    """Return the images that a job predicts on.

    An image set of fulora is used as it is. Any other folder is curated once into `work`, all its images as test
    images. Pictures without class folders or a list are unlabelled, which a note says.

    Args:
        settings: of the curation, such as `{"patient_pattern": r"Patient(\\d+)"}`; with any, the folder is curated.
        split: of an image set: the split that is predicted on, or `all`.
        unlabelled: ignore folders and lists: no class is known.
        command: makes the curated images again; messages about damage contain it.

    Raises:
        UntestableImagesError: if the split is empty, holds synthetic images, or does not exist.
        SourceError, ConfigError: if the layout of the folder is unknown, or a setting is invalid.
    """
    folder, given = Path(images.path if isinstance(images, Images) else images), dict(settings or {})
    notes: tuple[str, ...] = ()
    if not given and not unlabelled and is_image_set(folder):
        source = open_images(folder, None, Path(work), command=command)
    else:
        source, notes = _curate(folder, given, unlabelled, Path(work), command)
    tested = ImagesUnderTest(source, split, all(row.plane != UNLABELLED for row in source.iter_rows()), notes)
    for line in notes:
        progress.note(line)
    _refuse_untestable(tested)
    return tested


def _curate(
    folder: Path, settings: Mapping[str, object], unlabelled: bool, work: Path, command: str
) -> tuple[ImageSet, tuple[str, ...]]:
    """Return the curated folder, all its images in the test split unless the settings say otherwise, and notes."""
    notes: tuple[str, ...] = ()
    if unlabelled:
        notes = (f"{folder}: read as images without labels, as requested: {NO_LABELS}",)
    elif "kind" not in settings and _holds_pictures_alone(folder):
        notes = (f"{folder}: pictures without class folders or a list, so no labels: {NO_LABELS}",)
    kind = {"kind": "unlabelled"} if notes else {}
    try:
        return open_images(folder, {"role": "test", **kind, **settings}, work, command=command), notes
    except SourceError as error:
        advice = "" if notes or not folder.is_dir() else f"\nIf its images have no labels: --unlabelled ({NO_LABELS})"
        raise SourceError(f"{error}{advice}") from error


def _holds_pictures_alone(folder: Path) -> bool:
    """Return whether no layout is found, pictures lie in the folder itself, and no list that could have labels."""
    if not folder.is_dir():
        return False
    endings = [path.suffix.lower() for path in list_folder(folder) if path.is_file()]
    if not set(endings) & set(PICTURES) or set(endings) & set(LISTS):
        return False
    try:
        find_data_sets(folder)
    except SourceError:
        return True
    return False


def _refuse_untestable(tested: ImagesUnderTest) -> None:
    folder, rows = tested.source.path, tested.rows()
    if not rows:
        counts = Counter[str](row.split for row in tested.source.iter_rows())
        raise UntestableImagesError(
            f"{folder}: no images in the split {tested.split}; there are {_counted(counts)}. Choose another with "
            f"--split ({', '.join([*counts, 'all'])})"
        )
    synthetic = sum(row.origin == "synthetic" for row in rows)
    if synthetic:
        raise UntestableImagesError(
            f"{folder}: {synthetic} of {len(rows)} images of the split {tested.split} are synthetic; only real images "
            "are tested on: choose another --split, or give the set of real images"
        )


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())
