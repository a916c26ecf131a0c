"""Ask a backbone, with or without a LoRA, for synthetic images of every plane."""

from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.weights import Backbone, LoraWeights
from fulora.diffusion.config import GenerateConfig
from fulora.stage import Source, stage


@stage(version=2, resumes=True)
def generate(
    out: Path,
    config: GenerateConfig,
    backbone: Backbone | Source,
    lora: LoraWeights | None,
    start: ImageSet | None = None,
) -> ImageSet:
    """Write `per_class` synthetic images of each plane, each with all of how it was made.

    Args:
        start: draw over its training images (image-to-image).
    """
    from fulora.diffusion.generation import generate_set
    from fulora.diffusion.ingredients import Ingredients, lora_source, patients_of
    from fulora.diffusion.job import Job
    from fulora.diffusion.lora_files import FILE
    from fulora.diffusion.recipe import BackboneUsed
    from fulora.engine import InProcess

    files = [] if lora is None else [lora.path / FILE]
    ingredients = Ingredients(
        backbone=backbone.path,
        used=BackboneUsed(name=backbone.path.name, digest=backbone.fingerprint),
        loras=tuple(lora_source(file, config.lora_strength, config.lora_text_strength) for file in files),
        start=None if start is None else start.path,
        tainted_by=patients_of(files),
    )
    generate_set(Job(out, config, ingredients), InProcess())
    return ImageSet(out, "")
