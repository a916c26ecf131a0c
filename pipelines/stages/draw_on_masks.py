"""Generate an image on each of many proposed masks of heads."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.weights import Backbone, ControlWeights
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.stage import Source, stage


@stage(version=3, resumes=True)
def draw_on_masks(
    out: Path, config: GenerateConfig, backbone: Backbone | Source, control: ControlWeights, labelled: ImageSet
) -> ImageSet:
    """Write `per_class` synthetic images of each class with masks, each with the mask that it was generated on.

    A mask is an ellipse near that of a labelled training image of the class.
    """
    from fulora.data.structures import with_masks
    from fulora.diffusion.sampling.config import resolve_config
    from fulora.diffusion.sampling.inputs import ControlSource, GenerationInputs
    from fulora.diffusion.sampling.recipe import BackboneUsed, ControlUsed
    from fulora.diffusion.sets.generation import generate_set
    from fulora.diffusion.sets.job import GenerationJob
    from fulora.engine import InProcess
    from fulora.segmentation.mask_proposals import propose_masks
    from fulora.segmentation.mask_quality import MaskQualityConfig

    labels = labelled.label_set()
    cfg = resolve_config(config, with_masks(labels))
    masks = {}
    for plane in cfg.planes:
        real = [labelled.mask(row) for row in labelled.rows("train") if row.plane == plane]
        masks[plane] = propose_masks(real, cfg.per_class, cfg.seed, MaskQualityConfig())
    inputs = GenerationInputs(
        backbone=backbone.path,
        used=BackboneUsed(name=backbone.path.name, digest=backbone.fingerprint),
        control=ControlSource(control.path, ControlUsed(name=control.path.name, digest=control.fingerprint), masks),
    )
    generate_set(GenerationJob(out, cfg, inputs, labels), InProcess())
    return ImageSet(out, "")
