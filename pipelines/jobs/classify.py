"""`classify`: the classes of any images by trained classifiers, with scores at once where images are labelled."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fulora.data.comparisons import ComparisonsConfig
from fulora.data.image_set import ImageSet
from fulora.data.label_set import read_label_set, refuse_other_classes
from fulora.data.leak_check import describe_unknown, refuse_leaks
from fulora.data.patient_numbers import different_patients
from fulora.data.provenance import provenance_of
from fulora.data.results import Predictions, Scores
from fulora.data.score import ScoreConfig
from fulora.data.weights import ClassifierWeights
from fulora.engine import InProcess
from fulora.job_folder import make_in
from fulora.workspace import Workspace
from pipelines.jobs.classified import Classified, read_classified, write_classified
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import WORK, open_artifact
from pipelines.jobs.tables import Cell, Table
from pipelines.jobs.tested_images import ImagesUnderTest, describe_joined_patients, read_tested_images
from pipelines.jobs.training_plan import plan_tables
from pipelines.jobs.trainings import Training
from pipelines.stages.classify import classify as stage
from pipelines.stages.score import score
from pipelines.stages.take_tested import SplitChoice

Model = str | Path | Training


class ModelNameError(ValueError):
    """Two models that have one name."""


def classify(
    model: Model,
    images: str | Path | Images,
    out: str | Path,
    *,
    also: Sequence[Model] = (),
    split: SplitChoice = "test",
    unlabelled: bool = False,
    leave_out: Sequence[str] = (),
    curation: Mapping[str, object] | None = None,
    draws: int = 2000,
    device: str = "auto",
    work: str | Path = WORK,
) -> Classified:
    """Predict the class of every image, and score the predictions where the images are labelled.

    Example:

        result = fu.classify("classifier", "african_planes", "predictions")
        result.table

    Args:
        model: the folder of a classifier, or what `train_classifier` returned.
        images: an image set, or any folder of images: it is curated once, all of it for the test.
        out: the folder of the result: `predictions.csv`, and with labels `scores.csv` and `confusion.png`.
        also: further classifiers, which are compared with the first on the same images.
        split: of an image set: the split that is predicted on, or `all`.
        unlabelled: ignore folders and lists: no class is known.
        leave_out: classes of images that are left out, by name.
        curation: settings of the curation, such as `{"patient_pattern": r"P(\\d+)"}`.
        draws: of patients, for intervals.
        device: auto, cpu, cuda, ...
        work: folder that curated images, predictions and scores are kept in.

    Raises:
        ModelNameError: if two models have one name.
        LabelSetError: if models, or models and images, have different classes.
        UntestableImagesError: if there is nothing to predict on.
        OverlapError, SameNumberError: if a classifier, or a parent of it, learned from an image or patient.
        OutputFolderError: if `out` holds something else.
    """
    job = ClassifyJob(
        models=(model, *also),
        images=images if isinstance(images, Images) else Path(images),
        out=Path(out),
        split=split,
        unlabelled=unlabelled,
        leave_out=tuple(leave_out),
        curation=curation or {},
        draws=draws,
        device=device,
        work=Path(work),
    )
    return job.predict()


@dataclass(frozen=True)
class ClassifyJob:
    """Everything that predictions are made of; attributes as the arguments of `classify`.

    Attributes:
        models: the first is the one that the others are compared with.
        command: what the user typed, for messages about how to make the folder again.
    """

    models: tuple[Model, ...]
    images: Path | Images
    out: Path
    split: SplitChoice = "test"
    unlabelled: bool = False
    leave_out: tuple[str, ...] = ()
    curation: Mapping[str, object] = field(default_factory=dict)
    draws: int = 2000
    device: str = "auto"
    work: Path = WORK
    command: str = ""

    def planned(self) -> list[Table]:
        """Check everything, and return the images and what would be predicted by what; nothing is predicted.

        Raises:
            ValueError: if it could not be predicted.
        """
        from fulora.training.devices import pick_device

        self._notes()
        rows, labelled = self._shown.rows("test"), self._tested.labelled
        facts: dict[str, Cell] = {
            "classifiers": ", ".join(self._opened),
            "images": len(rows),
            "patients": len({row.patient_key for row in rows}),
            "sites": len({row.site for row in rows}),
            "scores": f"with intervals of {self.draws} draws of patients" if labelled else "none: there are no labels",
            "device": str(pick_device(self.device)),
        }
        return plan_tables(self._tested.source, f"classes would be predicted in {self.out}", facts)

    def predict(self) -> Classified:
        """Predict, score where there are labels, and write the folder; nothing is done if it is finished."""
        notes, work, models = self._notes(), self._workspace, self._opened
        predictions = work.each(
            {name: stage.call(self._shown, classifier=one, device=self.device) for name, one in models.items()}
        )
        scores = _score(predictions, self.draws, work) if self._tested.labelled else None
        made = make_in(self.out, write_classified, self.command, predictions=predictions, scores=scores)
        first = next(iter(predictions.values())).rows()
        joined = describe_joined_patients(self._shown.rows("test"), first) if scores is not None else ()
        return read_classified(made, predictions, scores, (*notes, *joined))

    @cached_property
    def _workspace(self) -> Workspace:
        return Workspace(self.work, InProcess(), command=self.command)

    @cached_property
    def _opened(self) -> dict[str, ClassifierWeights]:
        return _open_models(self.models, self.work)

    @cached_property
    def _tested(self) -> ImagesUnderTest:
        return read_tested_images(
            self.images,
            self.curation,
            split=self.split,
            unlabelled=self.unlabelled,
            work=self.work,
            command=self.command,
        )

    @cached_property
    def _shown(self) -> ImageSet:
        """The images as the test split of a set with the classes of the models."""
        first = next(iter(self._opened.values()))
        return self._tested.of_classes(read_label_set(first.path), self._workspace, leave_out=self.leave_out)

    def _notes(self) -> tuple[str, ...]:
        """How the images were read, which classes they lack, and which classifiers may have learned from them.

        Raises:
            OverlapError, SameNumberError: if one of them did.
        """
        learned = [provenance_of(one.path, f"classifier {name}") for name, one in self._opened.items()]
        distinct = different_patients(self._shown.path)
        unknown = describe_unknown(refuse_leaks(learned, self._shown.rows("test"), distinct_patients=distinct))
        labels = self._shown.label_set()
        return (*self._tested.notes_on(self._shown.rows("test"), labels), *unknown)


def _open_models(models: Sequence[Model], work: Path) -> dict[str, ClassifierWeights]:
    """Return the classifiers by the names of their folders; all have the classes of the first.

    Raises:
        ModelNameError: if two have one name.
        LabelSetError: if they have different classes.
    """
    folders = [(model.path if isinstance(model, Training) else Path(model)).absolute() for model in models]
    names = Counter(folder.name for folder in folders)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise ModelNameError(
            f"{repeated[0]}: two classifiers have this name; their folders name them in tables, so rename one"
        )
    opened = {folder.name: open_artifact(folder, ClassifierWeights, work) for folder in folders}
    labels = {name: read_label_set(one.path) for name, one in opened.items()}
    first = folders[0].name
    for name, others in labels.items():
        refuse_other_classes(labels[first], others, name=f"the classifier {first}", other_name=f"the classifier {name}")
    return opened


def _score(predictions: Mapping[str, Predictions], draws: int, work: Workspace) -> Scores:
    """Score the predictions; models after the first are compared with it, none was declared before."""
    baseline = next(iter(predictions)) if len(predictions) > 1 else ""
    comparisons = ComparisonsConfig(declared=None, baseline=baseline)
    arms = {name: [one] for name, one in predictions.items()}
    return work.run(score, ScoreConfig(draws=draws, comparisons=comparisons), predictions=arms)
