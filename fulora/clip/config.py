"""Configs of CLIP: pre-training a tiny one, and asking any of them by prompts."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from fulora.clip.prompts import PROMPTS
from fulora.config import Config, Runtime
from fulora.data.labels import PLANES, Plane


class ClipPretrainConfig(Config):
    """A tiny CLIP, trained from random weights on images and plane captions.

    The image tower is CLIP's ResNet: on phantoms, from random weights, it learned in 250 steps what a vision
    transformer of the same size had not in 400, at less than half the cost a step.
    The text tower is narrow because its vocabulary is not ours to choose: open_clip's tokenizer has 49 408 tokens, so
    every unit of `text_width` costs 49 408 parameters.

    Attributes:
        width: of the image tower's first layers; its last has 32 times as many channels.
        blocks: residual blocks of each of its four stages.
        batch_size: images a step, each with one caption drawn for its plane.
        crop: smallest side of a random crop, as a share of the image.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
    """

    image_size_px: PositiveInt = 64
    width: Annotated[int, Field(ge=2, multiple_of=2)] = 8
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (2, 2, 2, 2)
    embed_dim: PositiveInt = 64
    text_width: PositiveInt = 32
    text_layers: PositiveInt = 2
    context_length: PositiveInt = 32
    steps: PositiveInt = 500
    batch_size: Annotated[int, Field(ge=2)] = 32
    learning_rate: PositiveFloat = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup_steps: Annotated[int, Field(ge=0)] = 30
    crop: Annotated[float, Field(gt=0, le=1)] = 0.75
    seed: int = 0
    log_every: PositiveInt = 10
    checkpoint_every: Annotated[PositiveInt, Runtime] = 100
    device: Annotated[str, Runtime] = "auto"

    @model_validator(mode="after")
    def _fits(self) -> "ClipPretrainConfig":
        if self.image_size_px % 32:
            raise ValueError(
                f"image_size_px={self.image_size_px} is not a multiple of 32: the tower halves it five times"
            )
        if self.text_width % 16:
            raise ValueError(f"text_width={self.text_width} is not a multiple of 16, the width of an attention head")
        return self


class ZeroShotConfig(Config):
    """Classification by prompts alone.

    Attributes:
        prompts: the prompts of every plane, averaged to one direction a plane; any number of them.
    """

    prompts: Mapping[Plane, tuple[str, ...]] = Field(default_factory=lambda: dict(PROMPTS))
    batch_size: Annotated[PositiveInt, Runtime] = 64
    device: Annotated[str, Runtime] = "auto"

    @field_validator("prompts")
    @classmethod
    def _complete(cls, prompts: Mapping[Plane, tuple[str, ...]]) -> Mapping[Plane, tuple[str, ...]]:
        if set(prompts) != set(PLANES) or not all(prompts.values()):
            raise ValueError(f"prompts names exactly the planes {', '.join(PLANES)}, each with one prompt or more")
        return {plane: prompts[plane] for plane in PLANES}
