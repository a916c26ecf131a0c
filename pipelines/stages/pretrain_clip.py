"""Train a small CLIP from scratch, on the same images as the backbone."""

from pathlib import Path

from fulora.clip.config import ClipPretrainConfig
from fulora.data.image_set import ImageSet
from fulora.data.weights import ClipWeights
from fulora.stage import stage


@stage(version=2, resumes=True)
def pretrain_clip(out: Path, config: ClipPretrainConfig, images: ImageSet) -> ClipWeights:
    """Train on the training images of the classes that the config names, by default all.

    Raises:
        LabelSetError: if the config names a class that the images do not have.
    """
    from fulora.clip.pretrain import fit
    from fulora.data.model_provenance import write_model_provenance
    from fulora.data.pictures.loaders import class_indices, load_pixels

    labels = images.label_set()
    labels = labels.only(config.classes or labels.names)
    rows = [row for row in images.rows("train") if row.plane in labels.names]
    fit(out, config, labels, load_pixels(images, rows), class_indices(rows, labels))
    write_model_provenance(out, "CLIP", images, rows)
    return ClipWeights(out, "")
