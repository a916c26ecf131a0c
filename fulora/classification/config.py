"""Config of a plane classifier."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from fulora.config import Config, Runtime

Architecture = Literal["resnet18", "mobilenet_v2", "efficientnet_b0", "densenet169", "vit_b_16"]
Stem = Literal["imagenet", "small"]


class ClassifierConfig(Config):
    """A classifier and its training. The number of steps is the same for every arm, whatever the size of its set.

    Attributes:
        architecture: torchvision's name.
        weights: start from random or from ImageNet's weights (downloaded once by torchvision).
        stem: `imagenet` as published; `small` halves the picture once less before the first block (ResNet and DenseNet:
            a 3x3 filter and no pooling), right for pictures of about 64 px trained from random weights. It costs four
            times as much a step.
        augment: random crop, rotation, flip, gain and contrast.
        synthetic_weight: weight of a synthetic image in the loss; a real one weighs 1.
        balanced: every class equally often in a batch, whatever its share of the set.
        select: what chooses the checkpoint on the validation set; without validation images the last one is taken.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
    """

    architecture: Architecture = "resnet18"
    weights: Literal["none", "imagenet"] = "none"
    stem: Stem = "small"
    image_size_px: Annotated[int, Field(ge=32)] = 64
    steps: PositiveInt = 300
    batch_size: Annotated[int, Field(ge=2)] = 32
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: PositiveFloat = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    augment: bool = True
    synthetic_weight: PositiveFloat = 1.0
    balanced: bool = True
    select: Literal["macro_f1", "loss"] = "macro_f1"
    evaluate_every: PositiveInt = 50
    seed: int = 0
    log_every: PositiveInt = 10
    checkpoint_every: Annotated[PositiveInt, Runtime] = 100
    device: Annotated[str, Runtime] = "auto"

    @model_validator(mode="after")
    def _exists(self) -> "ClassifierConfig":
        if self.weights == "imagenet" and self.stem == "small":
            raise ValueError("weights=imagenet were trained with stem=imagenet; set stem=imagenet, or weights=none")
        if self.architecture == "vit_b_16":
            if self.stem == "small":
                raise ValueError("architecture=vit_b_16 has no stem to change; set stem=imagenet")
            if self.image_size_px % 16:
                raise ValueError(f"vit_b_16 wants image_size_px in multiples of 16, not {self.image_size_px}")
            if self.weights == "imagenet" and self.image_size_px != 224:
                raise ValueError("vit_b_16 with weights=imagenet takes image_size_px=224")
        return self
