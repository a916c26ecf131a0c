"""Train a ControlNet that makes a backbone generate heads at the place of a mask."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.weights import Backbone, ControlWeights
from fulora.diffusion.config import ControlConfig
from fulora.stage import Source, stage


@stage(version=3, resumes=True)
def train_control(out: Path, config: ControlConfig, backbone: Backbone | Source, images: ImageSet) -> ControlWeights:
    """Train on the training split, images and their masks; the backbone stays as it is."""
    from fulora.data.model_provenance import write_model_provenance
    from fulora.data.pictures.loaders import load_masks, load_pixels
    from fulora.diffusion.models.loading import load_backbone
    from fulora.diffusion.sampling.inputs import backbone_provenance
    from fulora.diffusion.training.controlnet import fit

    rows = images.rows("train")
    of_class = images.label_set().captions
    captions = [row.caption or of_class[row.plane] for row in rows]
    pipe, pixels, masks = load_backbone(backbone.path), load_pixels(images, rows), load_masks(images, rows)
    fit(out, config, pipe, pixels, masks, captions, base_digest=backbone.fingerprint)
    write_model_provenance(
        out, "ControlNet", images, rows, parents=[backbone_provenance(backbone.path, backbone.path.name)]
    )
    return ControlWeights(out, "")
