"""Two files of predictions on the same images, aligned for a paired comparison."""

from dataclasses import replace

import numpy as np

from fulora.data.label_set import refuse_other_classes
from fulora.data.predictions.files import PredictionFile
from fulora.data.predictions.rows import PredictionFileError
from fulora.metrics.model_predictions import ModelPredictions


def paired(ours: PredictionFile, other: PredictionFile) -> tuple[ModelPredictions, ModelPredictions]:
    """Return the answers of two files, with images and classes in one order.

    Clusters of patients who share pictures are taken from the first.

    Raises:
        PredictionFileError: if the images differ, or the truth, patient or site of one.
        LabelSetError: if the files have different label sets.
    """
    if ours.labels is not None and other.labels is not None:
        refuse_other_classes(ours.labels, other.labels, name=str(ours.path), other_name=str(other.path))
    _check_images(ours, other)
    place = {image: number for number, image in enumerate(other.image_ids)}
    order = np.array([place[image] for image in ours.image_ids])
    names = tuple(dict.fromkeys((*ours.answers.names, *other.answers.names)))
    first = _on_classes(ours.answers, names)
    second = _on_classes(other.answers.of(order), names)
    for what, one, two in (("true", first.true, second.true), ("site", first.sites, second.sites)):
        if (one != two).any():
            number = int(np.argmax(one != two))
            shown = [names[values[number]] if what == "true" else str(values[number]) for values in (one, two)]
            raise PredictionFileError(
                f"image {ours.image_ids[number]!r}: {what} is {shown[0]!r} in {ours.path} but {shown[1]!r} in "
                f"{other.path} ({int((one != two).sum())} such images)"
            )
    patient_pairs = set(zip(ours.patients.tolist(), other.patients[order].tolist(), strict=True))
    if not len(patient_pairs) == len(set(ours.patients)) == len(set(other.patients)):
        raise PredictionFileError(f"{ours.path} and {other.path} do not agree on which images are of one patient")
    return first, replace(second, patients=first.patients)


def _check_images(ours: PredictionFile, other: PredictionFile) -> None:
    mine, theirs = set(ours.image_ids), set(other.image_ids)
    only = [
        f"{len(images)} only in {path} (such as {min(images)!r})"
        for images, path in ((mine - theirs, ours.path), (theirs - mine, other.path))
        if images
    ]
    if only:
        raise PredictionFileError(
            f"the two files hold other images: {' and '.join(only)}. A paired comparison needs the same images in both"
        )


def _on_classes(answers: ModelPredictions, names: tuple[str, ...]) -> ModelPredictions:
    """Return the answers with other class numbers; classes without a probability get 0."""
    to = np.array([names.index(name) for name in answers.names])
    probabilities = None
    if answers.probabilities is not None:
        probabilities = np.zeros((*answers.probabilities.shape[:2], len(names)))
        probabilities[..., to] = answers.probabilities
    return replace(
        answers,
        names=names,
        true=to[answers.true],
        decided=to[answers.decided],
        probabilities=probabilities,
        negative=None if answers.negative is None else int(to[answers.negative]),
    )
