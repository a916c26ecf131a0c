"""Predict the plane of every test image by text prompts alone (protocol: prompt)."""

from pathlib import Path

from fulora.clip.config import ZeroShotConfig
from fulora.data.manifest import ImageSet
from fulora.data.results import PredictionFacts, Predictions, write_predictions
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=2)
def zero_shot(out: Path, config: ZeroShotConfig, images: ImageSet, clip: ClipWeights | Source) -> Predictions:
    """Probabilities of the five planes for the test split, from a CLIP."""
    from fulora.clip.model import load_clip
    from fulora.clip.zero_shot import classifier, predict
    from fulora.data.labels import PLANES
    from fulora.data.loaders import load_pixels

    rows = images.rows("test")
    model, _, tokenizer = load_clip(clip.path)
    weights = classifier(model, tokenizer, {plane: config.prompts[plane] for plane in PLANES})
    found = predict(model, weights, load_pixels(images, rows), config.batch_size)
    write_predictions(out, rows, found, PredictionFacts(protocol="prompt"))
    return Predictions(out, "")
