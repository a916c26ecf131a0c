"""Generate synthetic images of the classes of a label set by a backbone, with or without a LoRA."""

from pathlib import Path
from typing import TYPE_CHECKING

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.weights import Backbone, LoraWeights
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.engine import InProcess, ProcessCache
from fulora.stage import Parts, Source, stage

if TYPE_CHECKING:
    from fulora.diffusion.sets.job import GenerationJob


def _shard_names(
    config: GenerateConfig,
    backbone: Backbone | Source,
    lora: LoraWeights | None,
    start: ImageSet | None = None,
    *,
    labels: LabelSet,
) -> list[str]:
    from fulora.diffusion.sampling.config import resolve_config
    from fulora.diffusion.sets.shards import shards_of

    return [shard.name for shard in shards_of(resolve_config(config, labels))]


def _make_shard(
    out: Path,
    name: str,
    cache: ProcessCache,
    config: GenerateConfig,
    backbone: Backbone | Source,
    lora: LoraWeights | None,
    start: ImageSet | None = None,
    *,
    labels: LabelSet,
) -> None:
    from fulora.diffusion.sets.generation import generate_shard

    generate_shard(cache, _job(out, config, backbone, lora, start, labels), name)


@stage(version=4, resumes=True, parts=Parts(_shard_names, _make_shard))
def generate(
    out: Path,
    config: GenerateConfig,
    backbone: Backbone | Source,
    lora: LoraWeights | None,
    start: ImageSet | None = None,
    *,
    labels: LabelSet,
) -> ImageSet:
    """Write `per_class` synthetic images of each class, each with its recipe.

    Args:
        start: start from its training images (image-to-image).
        labels: of the classes to generate.

    Raises:
        LabelSetError: if the LoRA or the images to start from have other classes, or the config names unknown ones.
    """
    from fulora.diffusion.sets.generation import generate_set

    generate_set(_job(out, config, backbone, lora, start, labels), InProcess())
    return ImageSet(out, "")


def _job(
    out: Path,
    config: GenerateConfig,
    backbone: Backbone | Source,
    lora: LoraWeights | None,
    start: ImageSet | None,
    labels: LabelSet,
) -> "GenerationJob":
    from fulora.data.label_set import read_label_set, refuse_other_classes
    from fulora.diffusion.lora.files import FILE
    from fulora.diffusion.sampling.config import resolve_config
    from fulora.diffusion.sampling.inputs import GenerationInputs, lora_source
    from fulora.diffusion.sampling.recipe import BackboneUsed
    from fulora.diffusion.sets.job import GenerationJob

    if lora is not None:
        refuse_other_classes(labels, read_label_set(lora.path), name="the images to generate", other_name="the LoRA")
    if start is not None:
        refuse_other_classes(
            labels, start.label_set(), name="the images to generate", other_name="the images to start from"
        )
    files = [] if lora is None else [lora.path / FILE]
    inputs = GenerationInputs(
        backbone=backbone.path,
        used=BackboneUsed(name=backbone.path.name, digest=backbone.fingerprint),
        loras=tuple(lora_source(file, config.lora_strength, config.lora_text_strength) for file in files),
        start=None if start is None else start.path,
    )
    return GenerationJob(out, resolve_config(config, labels), inputs, labels)
