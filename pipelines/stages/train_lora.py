"""Fine-tune a backbone on a few images of one population: LoRA on the UNet and the text encoder."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.weights import Backbone, LoraWeights
from fulora.diffusion.config import LoraConfig
from fulora.stage import RECORD, Artifact, Source, read_record, stage


@stage(version=4, resumes=True)
def train_lora(
    out: Path,
    config: LoraConfig,
    backbone: Backbone | Source,
    images: ImageSet,
    prior: ImageSet | None = None,
    tested_on: ImageSet | None = None,
) -> LoraWeights:
    """Train on the training split; the validation split gives the validation loss.

    Args:
        prior: images that the LoRA must not forget, such as images of the backbone.
        tested_on: a set whose validation and test patients must not be trained on.
    """
    from fulora.diffusion.models.loading import load_backbone
    from fulora.diffusion.sampling.inputs import backbone_provenance
    from fulora.diffusion.training.image_sets import fit_lora, lora_provenance, read_training_images
    from fulora.diffusion.training.learner import PRECISIONS
    from fulora.workspace import artifact_name

    material = read_training_images(images, prior, tested_on, mask_channel=config.mask_channel)
    of_backbone = backbone_provenance(backbone.path, backbone.path.name)
    provenance = lora_provenance(f"LoRA {artifact_name(out)}", of_backbone, images, prior, tested_on)
    pipe = load_backbone(backbone.path, unet_dtype=PRECISIONS[config.precision])
    fit_lora(
        out, config, pipe, material, base_model=_name(backbone), base_digest=backbone.fingerprint, provenance=provenance
    )
    return LoraWeights(out, "")


def _name(backbone: Artifact) -> str:
    """The hub id of a fetched backbone, else the name of its folder."""
    if (backbone.path / RECORD).is_file():
        config = read_record(backbone.path)["identity"]["arguments"].get("config", {})
        return str(config.get("name", backbone.path.name))
    return backbone.path.name
