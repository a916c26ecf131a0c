"""Config of a classifier."""

from typing import Annotated, Literal, get_args

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from fulora.config import Config, Runtime

Torchvision = Literal["resnet18", "mobilenet_v2", "efficientnet_b0", "densenet169", "vit_b_16"]
TIMM = "timm/"
Weights = Literal["none", "imagenet", "imagenet_folded", "file"]
Stem = Literal["imagenet", "small"]
Fit = Literal["letterbox", "squash"]
Augmentation = Literal["none", "mild", "fu_lora"]


class ClassifierConfig(Config):
    """A classifier and its training. All arms train for the same number of steps, whatever the size of their sets.

    Attributes:
        architecture: torchvision's name of one of five, or `timm/NAME` for any of timm's.
        weights: start from random; from ImageNet's (downloaded once by torchvision or timm); from the folded ImageNet
            MobileNetV2 of a local file; or from any local file of the architecture's weights.
        stem: `imagenet` as published; `small` halves the picture once less before the first block (ResNet and DenseNet:
            a 3x3 filter and no pooling), for pictures of about 64 px and random weights. A step costs four times as
            much.
        image_size_px: side of the square to which pictures are resized, px.
        fit: how a picture becomes a square: `letterbox` pads it with black, `squash` scales each side.
        statistics: normalise pixels as the weights were trained with (`own`), or leave them at 0 to 1.
        steps, epochs: exactly one of the two. An epoch uses every image once; its last batch may be smaller.
        batch_size: images in an update.
        optimizer: AdamW, or stochastic gradient descent with momentum.
        learning_rate: after warm-up.
        weight_decay: of the optimizer.
        schedule: of the learning rate, after warm-up.
        warmup_steps: steps in which the learning rate rises linearly.
        augmentation: `mild` is a random crop, rotation, flip, gain and contrast; `fu_lora` is FU-LoRA's, with crops of
            8 % of the picture or more.
        synthetic_weight: weight of a synthetic image in the loss; a real one weighs 1.
        balanced: sample every class equally often.
        select: the validation metric that selects the step; `last`, or no validation images, takes the last one.
        evaluate_every: steps between validations.
        precision: of the forward pass; weights and optimizer stay in fp32.
        seed: of all random draws; equal seeds give equal results.
        log_every: steps between two lines of `metrics.jsonl`.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    architecture: str = "resnet18"
    weights: Weights = "none"
    stem: Stem = "small"
    image_size_px: Annotated[int, Field(ge=32)] = 64
    fit: Fit = "letterbox"
    statistics: Literal["own", "none"] = "own"
    steps: PositiveInt | None = 300
    epochs: PositiveInt | None = None
    batch_size: Annotated[int, Field(ge=2)] = 32
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: PositiveFloat = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    augmentation: Augmentation = "mild"
    synthetic_weight: PositiveFloat = 1.0
    balanced: bool = True
    select: Literal["macro_f1", "loss", "last"] = "macro_f1"
    evaluate_every: PositiveInt = 50
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0
    log_every: PositiveInt = 10
    checkpoint_every: Annotated[PositiveInt, Runtime] = 100
    device: Annotated[str, Runtime] = "auto"

    @field_validator("architecture")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in get_args(Torchvision) and not (value.startswith(TIMM) and value != TIMM):
            raise ValueError(f"{value!r} is not one of {', '.join(get_args(Torchvision))}, nor timm/NAME")
        return value

    @model_validator(mode="after")
    def _can_be_built(self) -> "ClassifierConfig":
        if self.stem == "small" and (self.weights != "none" or self.architecture not in get_args(Torchvision)[:4]):
            raise ValueError(
                f"stem=small needs a CNN of torchvision with random weights; set stem=imagenet for "
                f"architecture={self.architecture} with weights={self.weights}"
            )
        if self.weights == "imagenet_folded" and self.architecture != "mobilenet_v2":
            raise ValueError(f"weights=imagenet_folded are those of mobilenet_v2, not of {self.architecture}")
        if self.architecture == "vit_b_16":
            if self.image_size_px % 16:
                raise ValueError(f"vit_b_16 needs an image_size_px that is a multiple of 16, not {self.image_size_px}")
            if self.weights == "imagenet" and self.image_size_px != 224:
                raise ValueError("vit_b_16 with weights=imagenet needs image_size_px=224")
        return self

    @model_validator(mode="after")
    def _ends(self) -> "ClassifierConfig":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"steps={self.steps}, epochs={self.epochs}: give one, and null for the other")
        if self.epochs is not None and self.balanced:
            raise ValueError("an epoch uses every image once, which cannot be balanced; set balanced=false, or steps")
        return self

    @property
    def reads_file(self) -> bool:
        """Return whether the initial weights are read from a local file."""
        return self.weights in ("imagenet_folded", "file")

    def steps_for(self, images: int) -> int:
        """Return the number of steps of a training on so many images."""
        return self.steps if self.steps is not None else (self.epochs or 0) * -(-images // self.batch_size)
