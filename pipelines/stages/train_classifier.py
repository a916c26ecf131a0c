"""Train a plane classifier on one arm's images."""

from pathlib import Path

from fulora.classification.config import ClassifierConfig
from fulora.data.manifest import ImageSet
from fulora.data.weights import ClassifierWeights
from fulora.stage import stage


@stage(version=1, resumes=True)
def train_classifier(out: Path, config: ClassifierConfig, images: ImageSet) -> ClassifierWeights:
    """Train on the training split, real and synthetic alike; the validation patients choose the checkpoint."""
    import numpy as np

    from fulora.classification.train import fit
    from fulora.data.hybrid import schedule_of
    from fulora.data.loaders import load_pixels, plane_indices

    rows, held_out = images.rows("train"), images.rows("validation")
    synthetic = np.array([row.origin == "synthetic" for row in rows])
    pixels = load_pixels(images, rows)
    seen = load_pixels(images, held_out) if held_out else pixels[:0]
    fit(
        out, config, pixels, plane_indices(rows), synthetic,
        validation=(seen, plane_indices(held_out)), schedule=schedule_of(images.path),
    )  # fmt: skip
    return ClassifierWeights(out, "")
