"""Train a small diffusion backbone from scratch: on phantoms, or on site without access to a hub."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.weights import Backbone
from fulora.diffusion.config import PretrainConfig
from fulora.stage import stage


@stage(version=2, resumes=True)
def pretrain(out: Path, config: PretrainConfig, images: ImageSet) -> Backbone:
    """Train on the training split of `images`; the prompt of a class is its caption."""
    from fulora.data.model_provenance import write_model_provenance
    from fulora.data.pictures.loaders import load_pixels
    from fulora.diffusion.models.tokenizers import collect_words
    from fulora.diffusion.training.pretrain import fit

    rows, captions = images.rows("train"), images.label_set().captions
    fit(out, config, load_pixels(images, rows), [captions[row.plane] for row in rows], collect_words(captions.values()))
    write_model_provenance(out, "backbone", images, rows)
    return Backbone(out, "")
