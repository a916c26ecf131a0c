"""A drawing config that is complete: which classes are drawn, and with what prompts. Torch-free."""

from collections.abc import Mapping

from pydantic import Field

from fulora.data.label_set import LabelSet
from fulora.data.labels import Plane
from fulora.diffusion.config import GenerateConfig


class SamplingConfig(GenerateConfig):
    """A `GenerateConfig` with nothing left to the label set.

    Attributes:
        planes: all that are drawn, in this order.
        prompts: of each of them.
    """

    planes: tuple[Plane, ...] = Field(min_length=1)
    prompts: Mapping[Plane, str]


def resolve_config(cfg: GenerateConfig, labels: LabelSet) -> SamplingConfig:
    """The config for a label set: its classes where none is named, its captions where there is no other prompt.

    Raises:
        LabelSetError: a plane or a prompt of what is no class.
    """
    labels.require(cfg.planes or (), where="generate.planes")
    labels.require(cfg.prompts, where="generate.prompts")
    planes = labels.names if cfg.planes is None else cfg.planes
    prompts = {plane: cfg.prompts.get(plane, labels.captions[plane]) for plane in planes}
    given = {name: getattr(cfg, name) for name in GenerateConfig.model_fields}
    return SamplingConfig.model_validate({**given, "planes": planes, "prompts": prompts})
