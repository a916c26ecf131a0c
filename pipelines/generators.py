"""The generators of a study by name: the backbone with or without a LoRA, each with its own settings."""

from collections.abc import Mapping

from pydantic import field_validator

from fulora.config import Config, Json
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.weights import Backbone, LoraWeights
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.merged_settings import merge_each_over, merge_over
from pipelines.stages.generate import generate
from pipelines.stages.train_lora import train_lora

DEFAULT: Json = {"base": {"lora": "none"}, "LoRA": {}}
"""The generators of a study that names none."""


class GeneratorConfig(Config):
    """One generator. In YAML `lora` and `generate` give only the differences from the study's.

    Attributes:
        lora: how its LoRA is trained; `none` generates with the backbone alone. LoRAs that are equal are trained once.
        generate: how images are generated.
        start: real images of the study, by their place in its config, whose training images are the starting points
            of image-to-image; None starts from noise.
    """

    lora: LoraConfig | None
    generate: GenerateConfig
    start: str | None = None

    @field_validator("lora", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: object) -> object:
        return None if value == "none" else value

    @field_validator("lora")
    @classmethod
    def _images_alone(cls, value: LoraConfig | None) -> LoraConfig | None:
        if value is not None and value.mask_channel:
            raise ValueError(
                "mask_channel=true trains on pairs of image and mask; a generator here generates images alone"
            )
        return value


Generators = Mapping[str, GeneratorConfig]


def expand_generators(values: Json) -> Json | dict[str, object]:
    """Return the values of a study with each generator merged over its `lora` and `generate`."""
    if not isinstance(values, dict):
        return values

    def merge(one: object) -> object:
        if not isinstance(one, dict):
            return one
        return {
            **one,
            "lora": merge_over(LoraConfig, values.get("lora", {}), one.get("lora", {})),
            "generate": merge_over(GenerateConfig, values.get("generate"), one.get("generate", {})),
        }

    return merge_each_over(values, "synthetic", merge, DEFAULT)


def train_loras(
    generators: Generators,
    work: Workspace,
    *,
    backbone: Backbone | Source,
    images: ImageSet,
    prior: ImageSet | None = None,
    tested_on: ImageSet | None = None,
) -> dict[str, LoraWeights]:
    """Train the LoRA of each generator that has one."""
    return work.each(
        {
            name: train_lora.call(one.lora, backbone=backbone, images=images, prior=prior, tested_on=tested_on)
            for name, one in generators.items()
            if one.lora is not None
        }
    )


def generate_sets(
    generators: Generators,
    work: Workspace,
    *,
    backbone: Backbone | Source,
    loras: Mapping[str, LoraWeights],
    starts: Mapping[str, ImageSet],
    labels: LabelSet,
) -> dict[str, ImageSet]:
    """Generate the image set of each generator.

    Args:
        starts: real images by `GeneratorConfig.start`.
        labels: of the classes to generate.
    """
    return work.each(
        {
            name: generate.call(
                one.generate,
                backbone=backbone,
                lora=loras.get(name),
                start=None if one.start is None else starts[one.start],
                labels=labels,
            )
            for name, one in generators.items()
        }
    )


def distinct_loras(loras: Mapping[str, LoraWeights]) -> dict[str, LoraWeights]:
    """Return the distinct LoRAs, each by the first generator that has it."""
    first: dict[str, str] = {}
    for name, lora in loras.items():
        first.setdefault(lora.fingerprint, name)
    return {name: loras[name] for name in first.values()}
