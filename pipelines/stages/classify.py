"""Predict the plane of every test image with a trained classifier (protocol: transfer)."""

from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.results import PredictionFacts, Predictions, write_predictions
from fulora.data.weights import ClassifierWeights
from fulora.stage import stage


@stage(version=2)
def classify(out: Path, images: ImageSet, classifier: ClassifierWeights) -> Predictions:
    """Probabilities of the five planes for the test split of `images`."""
    from fulora.classification.model import load_classifier
    from fulora.classification.predict import predict
    from fulora.data.loaders import load_pixels

    rows = images.rows("test")
    found = predict(load_classifier(classifier.path), load_pixels(images, rows))
    write_predictions(out, rows, found, PredictionFacts(protocol="transfer"))
    return Predictions(out, "")
