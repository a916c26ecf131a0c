"""Train a plane classifier on one arm's images."""

from functools import lru_cache
from pathlib import Path

from fulora.classification.config import ClassifierConfig
from fulora.data.manifest import ImageSet
from fulora.data.weights import ClassifierWeights
from fulora.stage import Source, stage


def _check(config: ClassifierConfig, images: ImageSet, start: Source | None) -> None:
    """Build the network before anything runs: a name, a file or weights that cannot be had are told at once."""
    if config.weights != "imagenet":  # a download would come before what else is wrong
        what = {key: getattr(config, key) for key in ("architecture", "weights", "stem", "image_size_px")}
        _buildable(ClassifierConfig(**what), None if start is None else start.path)


@lru_cache(1)
def _buildable(config: ClassifierConfig, start: Path | None) -> None:
    """Once for all arms and seeds of a study, whose networks are the same."""
    from fulora.classification.model import build_classifier

    build_classifier(config, start=start)


@stage(version=3, resumes=True, check=_check)
def train_classifier(
    out: Path, config: ClassifierConfig, images: ImageSet, start: Source | None = None
) -> ClassifierWeights:
    """Train on the training split, real and synthetic alike; the validation patients choose the checkpoint.

    Args:
        start: the weights file that `config.weights` reads, if it reads one.
    """
    import numpy as np

    from fulora.classification.train import fit
    from fulora.data.hybrid import schedule_of
    from fulora.data.loaders import load_squares, plane_indices

    rows, held_out = images.rows("train"), images.rows("validation")
    synthetic = np.array([row.origin == "synthetic" for row in rows])
    pixels, seen = (load_squares(images, found, config.image_size_px, config.fit) for found in (rows, held_out))
    fit(
        out, config, pixels, plane_indices(rows), synthetic,
        validation=(seen, plane_indices(held_out)), showing=schedule_of(images.path),
        start=None if start is None else start.path,
    )  # fmt: skip
    return ClassifierWeights(out, "")
