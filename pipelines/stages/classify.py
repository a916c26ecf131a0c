"""Predict the plane of every test image with a trained classifier (protocol: transfer, or few-shot)."""

from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.results import PredictionFacts, Predictions, protocol_of, write_predictions
from fulora.data.weights import ClassifierWeights
from fulora.stage import stage


@stage(version=4)
def classify(
    out: Path, images: ImageSet, classifier: ClassifierWeights, trained_on: ImageSet, balanced: bool
) -> Predictions:
    """Probabilities of the five planes for the test split of `images`.

    Args:
        trained_on: what the classifier was trained on; its planes' shares are the prior it learned.
        balanced: whether training drew every plane alike instead.
    """
    from collections import Counter

    from fulora.classification.model import load_classifier
    from fulora.classification.predict import predict
    from fulora.data.labels import PLANES
    from fulora.data.loaders import load_squares

    rows, training = images.rows("test"), trained_on.rows("train")
    counts = Counter(row.plane for row in training)
    model = load_classifier(classifier.path)
    found = predict(model, load_squares(images, rows, model.facts.image_size_px, model.facts.fit))
    drawn = {plane: float(counts[plane] > 0) if balanced else float(counts[plane]) for plane in PLANES}
    facts = PredictionFacts(
        protocol=protocol_of(training, rows),
        training_prior=tuple(drawn[plane] / sum(drawn.values()) for plane in PLANES),
    )
    write_predictions(out, rows, found, facts)
    return Predictions(out, "")
