"""Train a classifier on one arm's images."""

from functools import lru_cache
from pathlib import Path

from fulora.classification.config import ClassifierConfig
from fulora.data.image_set import ImageSet
from fulora.data.weights import ClassifierWeights
from fulora.stage import Source, stage


def _check(config: ClassifierConfig, images: ImageSet, start: Source | None) -> None:
    """Build the network before anything runs, so that an unknown name or missing weights are reported at once."""
    if config.weights != "imagenet":  # a download would delay other errors
        settings = {key: getattr(config, key) for key in ("architecture", "weights", "stem", "image_size_px")}
        _buildable(ClassifierConfig(**settings), None if start is None else start.path)


@lru_cache(1)
def _buildable(config: ClassifierConfig, start: Path | None) -> None:
    """Build once for all arms and seeds of a study, whose networks differ in the size of the head alone."""
    from fulora.classification.model import build_classifier

    build_classifier(config, classes=2, start=start)


@stage(version=4, resumes=True, check=_check)
def train_classifier(
    out: Path, config: ClassifierConfig, images: ImageSet, start: Source | None = None
) -> ClassifierWeights:
    """Train on the training split, real and synthetic alike; the validation patients select the checkpoint.

    Args:
        start: the weights file that `config.weights` reads, if any.
    """
    import numpy as np

    from fulora.classification.train import fit
    from fulora.classification.training_classes import TrainingClasses
    from fulora.data.hybrid import schedule_of
    from fulora.data.model_provenance import write_model_provenance
    from fulora.data.pictures.loaders import class_indices, load_squares
    from fulora.data.provenance import provenance_of

    labels = images.label_set()
    rows, held_out = images.rows("train"), images.rows("validation")
    synthetic = np.array([row.origin == "synthetic" for row in rows])
    pixels, seen = (load_squares(images, part, config.image_size_px, config.fit) for part in (rows, held_out))
    fit(
        out,
        config,
        labels,
        pixels,
        class_indices(rows, labels),
        synthetic,
        validation=(seen, class_indices(held_out, labels)),
        showing=schedule_of(images.path),
        start=None if start is None else start.path,
    )
    TrainingClasses.of(rows, labels, balanced=config.balanced).write(out)
    parents = [] if start is None else [provenance_of(start.path, f"weights {start.path.name}")]
    write_model_provenance(out, "classifier", images, rows, held_out, parents=parents)
    return ClassifierWeights(out, "")
