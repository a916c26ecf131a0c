"""Predict the class of every test image with a trained classifier (protocol: transfer, or few-shot)."""

from pathlib import Path
from typing import Annotated

from fulora.config import Runtime
from fulora.data.image_set import ImageSet
from fulora.data.results import PredictionFacts, Predictions, protocol_of, write_predictions
from fulora.data.weights import ClassifierWeights
from fulora.stage import stage


@stage(version=4)
def classify(
    out: Path,
    images: ImageSet,
    classifier: ClassifierWeights,
    trained_on: ImageSet,
    balanced: bool,
    device: Annotated[str, Runtime] = "auto",
) -> Predictions:
    """Write the class probabilities of the test split of `images`.

    Args:
        trained_on: the training images of the classifier, whose class frequencies are its prior.
        balanced: whether training sampled all classes equally instead.

    Raises:
        LabelSetError: if the classifier was trained on other classes.
        OverlapError, SameNumberError: if the classifier, or a parent of it, learned from a test image or patient.
    """
    from collections import Counter

    from fulora.classification.model import load_classifier
    from fulora.classification.predict import predict
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
    rows, training = images.rows("test"), trained_on.rows("train")
    refuse_leaks([provenance_of(classifier.path, name)], rows, distinct_patients=different_patients(images.path))
    counts = Counter(row.plane for row in training)
    model = load_classifier(classifier.path).to(pick_device(device))
    probabilities = predict(model, load_squares(images, rows, model.facts.image_size_px, model.facts.fit))
    shares = [float(counts[name] > 0) if balanced else float(counts[name]) for name in labels.names]
    facts = PredictionFacts(
        protocol=protocol_of(training, rows),
        training_prior=tuple(share / sum(shares) for share in shares),
    )
    write_predictions(out, rows, probabilities, facts, labels)
    return Predictions(out, "")
