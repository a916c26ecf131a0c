"""Predict the class of every test image with a trained classifier (protocol: transfer, or few-shot)."""

from pathlib import Path
from typing import Annotated

from fulora.config import Runtime
from fulora.data.image_set import ImageSet
from fulora.data.results import Predictions, write_predictions
from fulora.data.weights import ClassifierWeights
from fulora.stage import stage


@stage(version=5)
def classify(
    out: Path, images: ImageSet, classifier: ClassifierWeights, device: Annotated[str, Runtime] = "auto"
) -> Predictions:
    """Write the class probabilities of the test split of `images`.

    Raises:
        LabelSetError: if the classifier was trained on other classes.
        OverlapError, SameNumberError: if the classifier, or a parent of it, learned from a test image or patient.
        EarlierVersionError: if an earlier version of fulora trained the classifier.
    """
    from fulora.classification.model import load_classifier
    from fulora.classification.predict import predict
    from fulora.classification.training_classes import read_training_classes
    from fulora.data.label_set import read_label_set, refuse_other_classes
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.pictures.loaders import load_squares
    from fulora.data.provenance import provenance_of
    from fulora.training.devices import pick_device

    labels, name = images.label_set(), f"classifier {classifier.path.name}"
    refuse_other_classes(
        labels, read_label_set(classifier.path), name=f"the images {images.path.name}", other_name=f"the {name}"
    )
    rows = images.rows("test")
    refuse_leaks([provenance_of(classifier.path, name)], rows, distinct_patients=different_patients(images.path))
    facts = read_training_classes(classifier.path).facts(rows)
    model = load_classifier(classifier.path).to(pick_device(device))
    probabilities = predict(model, load_squares(images, rows, model.facts.image_size_px, model.facts.fit))
    write_predictions(out, rows, probabilities, facts, labels)
    return Predictions(out, "")
