"""Predict the class of every test image with a trained classifier (protocol: transfer, or few-shot)."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.results import PredictionFacts, Predictions, protocol_of, write_predictions
from fulora.data.weights import ClassifierWeights
from fulora.stage import stage


@stage(version=4)
def classify(
    out: Path, images: ImageSet, classifier: ClassifierWeights, trained_on: ImageSet, balanced: bool
) -> Predictions:
    """Probabilities of the classes for the test split of `images`.

    Args:
        trained_on: what the classifier was trained on; its classes' shares are the prior it learned.
        balanced: whether training drew every class alike instead.

    Raises:
        LabelSetError: the classifier was trained on other classes.
        OverlapError: the classifier, or a parent of it, learned from a test image or patient.
        SameNumberError: it may have learned from a test patient under another name.
    """
    from collections import Counter

    from fulora.classification.model import load_classifier
    from fulora.classification.predict import predict
    from fulora.data.label_set import read_label_set, refuse_other_classes
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.pictures.loaders import load_squares
    from fulora.data.provenance import provenance_of

    labels, known = images.label_set(), read_label_set(classifier.path)
    refuse_other_classes(
        labels, known, name=f"the images {images.path.name}", other_name=f"the classifier {classifier.path.name}"
    )
    rows, training = images.rows("test"), trained_on.rows("train")
    learned = provenance_of(classifier.path, f"classifier {classifier.path.name}")
    refuse_leaks([learned], rows, distinct_patients=different_patients(images.path))
    counts = Counter(row.plane for row in training)
    model = load_classifier(classifier.path)
    found = predict(model, load_squares(images, rows, model.facts.image_size_px, model.facts.fit))
    drawn = [float(counts[name] > 0) if balanced else float(counts[name]) for name in labels.names]
    facts = PredictionFacts(
        protocol=protocol_of(training, rows),
        training_prior=tuple(share / sum(drawn) for share in drawn),
    )
    write_predictions(out, rows, found, facts, labels)
    return Predictions(out, "")
