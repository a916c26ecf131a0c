"""The generators of a study: the backbone with a LoRA or without, each with its own settings, by name."""

from collections.abc import Mapping

from pydantic import field_validator

from fulora.config import Config, Json
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.weights import Backbone, LoraWeights
from fulora.diffusion.config import GenerateConfig, LoraConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.changes import each_laid_over, laid_over
from pipelines.stages.generate import generate
from pipelines.stages.train_lora import train_lora

DEFAULT: Json = {"base": {"lora": "none"}, "LoRA": {}}
"""The generators of a study that names none."""


class GeneratorConfig(Config):
    """One generator. In YAML `lora` and `generate` say only what differs from the study's.

    Attributes:
        lora: how its LoRA is trained; `none` draws with the backbone alone. LoRAs that are equal are trained once.
        generate: how it draws.
        start: real images of the study whose training images are drawn over (image-to-image), by their place in its
            config; None starts from noise.
    """

    lora: LoraConfig | None
    generate: GenerateConfig
    start: str | None = None

    @field_validator("lora", mode="before")
    @classmethod
    def _none_is_said_in_words(cls, value: object) -> object:
        return None if value == "none" else value

    @field_validator("lora")
    @classmethod
    def _images_alone(cls, value: LoraConfig | None) -> LoraConfig | None:
        if value is not None and value.mask_channel:
            raise ValueError("mask_channel=true trains on pairs of image and mask, and here pictures alone are drawn")
        return value


Generators = Mapping[str, GeneratorConfig]


def with_generators(values: Json) -> Json | dict[str, object]:
    """The values of a study, each of its generators laid over its `lora` and `generate`."""
    if not isinstance(values, dict):
        return values

    def lay(one: object) -> object:
        if not isinstance(one, dict):
            return one
        return {
            **one,
            "lora": laid_over(LoraConfig, values.get("lora", {}), one.get("lora", {})),
            "generate": laid_over(GenerateConfig, values.get("generate"), one.get("generate", {})),
        }

    return each_laid_over(values, "synthetic", lay, DEFAULT)


def train_loras(
    generators: Generators,
    work: Workspace,
    *,
    backbone: Backbone | Source,
    images: ImageSet,
    prior: ImageSet | None = None,
    tested_on: ImageSet | None = None,
) -> dict[str, LoraWeights]:
    """The LoRA of each generator that has one."""
    return work.each(
        {
            name: train_lora.call(one.lora, backbone=backbone, images=images, prior=prior, tested_on=tested_on)
            for name, one in generators.items()
            if one.lora is not None
        }
    )


def drawn(
    generators: Generators,
    work: Workspace,
    *,
    backbone: Backbone | Source,
    loras: Mapping[str, LoraWeights],
    starts: Mapping[str, ImageSet],
    labels: LabelSet,
) -> dict[str, ImageSet]:
    """What each generator draws.

    Args:
        starts: real images by the name that `start` gives.
        labels: whose classes are drawn.
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


def different(loras: Mapping[str, LoraWeights]) -> dict[str, LoraWeights]:
    """The LoRAs that differ, each by the first generator that has it."""
    first: dict[str, str] = {}
    for name, lora in loras.items():
        first.setdefault(lora.fingerprint, name)
    return {name: loras[name] for name in first.values()}
