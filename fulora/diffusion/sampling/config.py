"""A generation config in which nothing is left to the label set. Torch-free."""

from collections.abc import Mapping

from pydantic import Field

from fulora.data.column_types import Plane
from fulora.data.label_set import LabelSet
from fulora.diffusion.config import GenerateConfig


class SamplingConfig(GenerateConfig):
    """A `GenerateConfig` with the classes and prompts filled in from a label set.

    Attributes:
        planes: all classes to generate, in this order.
        prompts: one for each of them.
    """

    planes: tuple[Plane, ...] = Field(min_length=1)
    prompts: Mapping[Plane, str]


def resolve_config(cfg: GenerateConfig, labels: LabelSet) -> SamplingConfig:
    """Return the config with all classes of a label set if it names none, and with their captions for missing prompts.

    Raises:
        LabelSetError: if a plane or a prompt is for a class that the label set does not have.
    """
    labels.require(cfg.planes or (), where="generate.planes")
    labels.require(cfg.prompts, where="generate.prompts")
    planes = labels.names if cfg.planes is None else cfg.planes
    prompts = {plane: cfg.prompts.get(plane, labels.captions[plane]) for plane in planes}
    values = {name: getattr(cfg, name) for name in GenerateConfig.model_fields}
    return SamplingConfig.model_validate({**values, "planes": planes, "prompts": prompts})
