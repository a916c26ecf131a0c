"""`classify`: the classes of any images by trained classifiers, with scores at once where images are labelled."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.data.comparisons import ComparisonsConfig
from fulora.data.image_set import ImageSet
from fulora.data.label_set import read_label_set, refuse_other_classes
from fulora.data.results import Predictions, Scores
from fulora.data.score import ScoreConfig
from fulora.data.weights import ClassifierWeights
from fulora.engine import InProcess
from fulora.job_folder import make_in
from fulora.workspace import Workspace
from pipelines.jobs.classified import Classified, read_classified, write_classified
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import WORK, open_artifact
from pipelines.jobs.tested_images import read_tested_images
from pipelines.jobs.trainings import Training
from pipelines.stages.classify import classify as stage
from pipelines.stages.score import score
from pipelines.stages.take_tested import SplitChoice

Model = str | Path | Training


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
    command: str = "",
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
        command: makes the folder again; messages about damage contain it.

    Raises:
        ModelNameError: if two models have one name.
        LabelSetError: if models, or models and images, have different classes.
        UntestableImagesError: if there is nothing to predict on.
        OverlapError, SameNumberError: if a classifier, or a parent of it, learned from an image or patient.
        OutputFolderError: if `out` holds something else.
    """
    models = _open_models((model, *also), Path(work))
    tested = read_tested_images(images, curation, split=split, unlabelled=unlabelled, work=work, command=command)
    space = Workspace(Path(work), InProcess(), command=command)
    first = next(iter(models.values()))
    shown = tested.of_classes(read_label_set(first.path), space, leave_out=leave_out)
    predictions = _predict(shown, models, device, space)
    scores = _score(predictions, draws, space) if tested.labelled else None
    made = make_in(Path(out), write_classified, command, predictions=predictions, scores=scores)
    return read_classified(made, predictions, scores, tested.notes)


class ModelNameError(ValueError):
    """Two models that have one name."""


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


def _predict(
    images: ImageSet, models: Mapping[str, ClassifierWeights], device: str, work: Workspace
) -> dict[str, Predictions]:
    return work.each({name: stage.call(images, classifier=one, device=device) for name, one in models.items()})


def _score(predictions: Mapping[str, Predictions], draws: int, work: Workspace) -> Scores:
    """Score the predictions; models after the first are compared with it, none was declared before."""
    baseline = next(iter(predictions)) if len(predictions) > 1 else ""
    comparisons = ComparisonsConfig(declared=None, baseline=baseline)
    arms = {name: [one] for name, one in predictions.items()}
    return work.run(score, ScoreConfig(draws=draws, comparisons=comparisons), predictions=arms)
