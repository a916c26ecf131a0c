"""Train a small CLIP from nothing, on the same images as the backbone."""

from pathlib import Path

from fulora.clip.config import ClipPretrainConfig
from fulora.data.manifest import ImageSet
from fulora.data.weights import ClipWeights
from fulora.stage import stage


@stage(version=2, resumes=True)
def pretrain_clip(out: Path, config: ClipPretrainConfig, images: ImageSet) -> ClipWeights:
    """Train on the images of the training split that show one of the five classification planes."""
    from fulora.clip.pretrain import fit
    from fulora.data.labels import PLANES
    from fulora.data.loaders import load_pixels

    rows = [row for row in images.rows("train") if row.plane in PLANES]
    fit(out, config, load_pixels(images, rows), [row.plane for row in rows])
    return ClipWeights(out, "")
