"""Configs of segmentation networks: architecture, initial weights, fine-tuning strategy, training. Torch-free."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from fulora.config import Config, Runtime
from fulora.data.label_class import MOST

UnetDecoder = Literal["unet", "unetplusplus", "manet", "linknet"]
PyramidDecoder = Literal["fpn", "pspnet", "deeplabv3", "deeplabv3plus", "pan", "upernet", "segformer"]
MonaiArchitecture = Literal["monai_basic_unet", "monai_attention_unet", "monai_segresnet", "monai_dynunet"]
Architecture = Literal[UnetDecoder, PyramidDecoder, MonaiArchitecture]
Part = Literal["encoder", "d0", "d1", "d2", "d3", "d4"]
PaperStrategy = Literal["scratch", "random_frozen_encoder", "encoder", "d0", "d0-1", "d0-2", "d2-4", "d4", "d0-4"]
StrategyName = Literal["all", PaperStrategy, "discriminative", "gradual", "norms", "lora"]
EncoderWeights = Literal["none", "imagenet", "imagenet_folded", "file", "network"]
Augmentation = Literal["none", "paper", "mild", "strong"]
Fit = Literal["letterbox", "squash"]

DECODER: tuple[Part, ...] = ("d0", "d1", "d2", "d3", "d4")
WEIGHTS_FROM_FILE: tuple[EncoderWeights, ...] = ("imagenet_folded", "file", "network")
MIN_SIDE = 32


@dataclass(frozen=True)
class Strategy:
    """Which parts are trained. For the segmentation head see `UnetConfig.train_head`.

    Attributes:
        learns: trained parts; d0 is the deepest decoder block, d4 the one before the head.
        random_start: the encoder must start from random weights.
        norms_only: of the encoder, train only the affine weights and running statistics of normalisation layers.
        lora: of the encoder, train only low-rank adapters of its convolutions (Hu et al. 2021).
        rates: factor on the learning rate of the first, middle and last third of the encoder's layers.
        joins_at: the fraction of the training after which each of those thirds is trained.
    """

    learns: tuple[Part, ...]
    random_start: bool = False
    norms_only: bool = False
    lora: bool = False
    rates: tuple[float, float, float] = (1.0, 1.0, 1.0)
    joins_at: tuple[float, float, float] = (0.0, 0.0, 0.0)


ALL_PARTS: tuple[Part, ...] = ("encoder", *DECODER)
STRATEGIES: dict[StrategyName, Strategy] = {
    "all": Strategy(ALL_PARTS),
    "scratch": Strategy(ALL_PARTS, random_start=True),
    "random_frozen_encoder": Strategy(DECODER, random_start=True),
    "encoder": Strategy(("encoder",)),
    "d0": Strategy(("d0",)),
    "d0-1": Strategy(("d0", "d1")),
    "d0-2": Strategy(("d0", "d1", "d2")),
    "d2-4": Strategy(("d2", "d3", "d4")),
    "d4": Strategy(("d4",)),
    "d0-4": Strategy(DECODER),
    "discriminative": Strategy(ALL_PARTS, rates=(2.6**-3, 2.6**-2, 2.6**-1)),
    "gradual": Strategy(ALL_PARTS, joins_at=(0.75, 0.5, 0.25)),
    "norms": Strategy(ALL_PARTS, norms_only=True),
    "lora": Strategy(ALL_PARTS, lora=True),
}
"""The nine strategies of arXiv 2307.09067 and 2407.20086, and five others: `all` is full fine-tuning;
`discriminative` (rates that fall by 2.6 per group) and `gradual` (the deepest layers join first) are as in ULMFiT
 (Howard and Ruder 2018); `norms` and `lora` also train the whole decoder."""

BLOCKWISE: tuple[StrategyName, ...] = ("d0", "d0-1", "d0-2", "d2-4", "d4")


class UnetConfig(Config):
    """A U-Net, or a network with another decoder, and its training.

    Attributes:
        architecture: a decoder of segmentation_models_pytorch, or a network of MONAI that it lacks.
        encoder: name of the encoder in segmentation_models_pytorch, `tu-NAME` for timm's; `none` for MONAI's networks.
        encoder_weights: `none` is random; `imagenet` is downloaded by segmentation_models_pytorch. The others read a
            local file, an input of the stage: `imagenet_folded` a mobilenet_v2 with folded batch norm, `file` the
            encoder's state dict, `network` that of a whole network, such as an earlier `model.safetensors`.
        decoder_channels: channels of d0 to d4 of a U-Net; the default is the published network, fewer are faster.
        in_channels: 1 gives the encoder one gray channel, 3 three equal ones, as its weights expect.
        classes: outputs of the network. By default those of the label set: 1 for one structure against the background,
            else the background and each class number up to the largest.
        image_size_px: side of the square to which images are resized; None keeps their size, which is then the same for
            all. Predicted masks always have the size of their image.
        fit: how an image becomes a square: padded with black (`letterbox`), or with a scale for each side (`squash`).
        statistics: `own` normalises as the encoder's weights were trained with; `unit` only divides by 255.
        strategy: which parts are trained.
        train_head: also train the segmentation head. The papers did so only with the whole decoder or network; a random
            frozen head harms the other strategies.
        lora_rank: rank, and alpha, of `strategy: lora`.
        loss: cross-entropy plus soft Dice, or cross-entropy alone (binary for one class).
        deep_supervision: add losses of predictions from d3, d2 and d1, each with half the finer one's weight (U-Net).
        steps: updates of the weights.
        epochs: passes over the training images, in place of `steps`.
        batch_size: images in an update.
        learning_rate: after warm-up.
        weight_decay: of the optimizer.
        schedule: of the learning rate, after warm-up.
        warmup_steps: steps in which the learning rate rises linearly.
        ema_decay: decay of the moving average of the weights, which is saved; None saves the weights themselves.
        precision: of the forward pass; weights and optimizer stay in fp32.
        augmentation: of training images; see `fulora.segmentation.augment`.
        synthetic_weight: weight of synthetic and pseudo-labelled images in the loss.
        real_last: the last fraction of the steps, which use only real images with manual masks.
        fold: (which, of how many): hold out one fold of the training patients, and select the checkpoint on it.
        evaluate_every: steps between validations; the best weights are kept.
        seed: of all random draws; equal seeds give equal results.
        checkpoint_every: steps between checkpoints; the result does not depend on it.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    architecture: Architecture = "unet"
    encoder: str = "mobilenet_v2"
    encoder_weights: EncoderWeights = "none"
    decoder_channels: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (256, 128, 64, 32, 16)
    in_channels: Literal[1, 3] = 3
    classes: Annotated[int, Field(ge=1, le=MOST + 1)] | None = None
    image_size_px: Annotated[int, Field(ge=MIN_SIDE)] | None = None
    fit: Fit = "letterbox"
    statistics: Literal["own", "unit"] = "own"

    strategy: StrategyName = "all"
    train_head: bool = True
    lora_rank: PositiveInt = 8

    loss: Literal["dice_ce", "ce"] = "dice_ce"
    deep_supervision: bool = False
    steps: PositiveInt = 1000
    epochs: PositiveInt | None = None
    batch_size: int = Field(default=16, ge=2)
    learning_rate: PositiveFloat = 1e-3
    weight_decay: float = Field(default=1e-2, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    ema_decay: float | None = Field(default=None, ge=0, lt=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    augmentation: Augmentation = "mild"
    synthetic_weight: PositiveFloat = 1.0
    real_last: float = Field(default=0.0, ge=0, lt=1)
    fold: tuple[int, int] | None = None
    evaluate_every: PositiveInt = 100
    seed: int = 0
    checkpoint_every: Annotated[PositiveInt, Runtime] = 200
    device: Annotated[str, Runtime] = "auto"

    def of(self, images: int) -> "UnetConfig":
        """Return the config with `epochs` as steps for so many training images.

        Raises:
            ValueError: if there are no steps after the warm-up.
        """
        if self.epochs is None:
            return self
        steps = self.epochs * -(-images // self.batch_size)
        if self.warmup_steps >= steps:
            raise ValueError(
                f"epochs={self.epochs} over {images} images in batches of {self.batch_size} are {steps} steps: "
                f"warmup_steps={self.warmup_steps} leaves nothing of them"
            )
        return self.changed(steps=steps)

    @property
    def outputs(self) -> int:
        """Number of outputs of the network; 1 if `classes` is None."""
        return self.classes or 1

    def with_outputs(self, wanted: int) -> "UnetConfig":
        """Return the config with the outputs that masks need.

        Raises:
            ValueError: if `classes` is another number.
        """
        if self.classes not in (None, wanted):
            raise ValueError(
                f"classes={self.classes}, and these masks need {wanted}; leave classes out, or set {wanted}"
            )
        return self.changed(classes=wanted)

    @model_validator(mode="after")
    def _start_fits_strategy(self) -> "UnetConfig":
        strategy = STRATEGIES[self.strategy]
        if strategy.random_start and self.encoder_weights != "none":
            raise ValueError(
                f"strategy={self.strategy} starts from random weights and encoder_weights={self.encoder_weights} "
                "does not; set encoder_weights=none or choose another strategy"
            )
        whole = strategy.learns == ALL_PARTS and not (strategy.norms_only or strategy.lora)
        if self.encoder_weights == "none" and not strategy.random_start and not whole and self.strategy != "encoder":
            raise ValueError(
                f"strategy={self.strategy} freezes the encoder, which encoder_weights=none would leave random; "
                "give it weights, or set strategy=random_frozen_encoder"
            )
        if self.encoder_weights == "imagenet_folded" and self.encoder != "mobilenet_v2":
            raise ValueError(f"encoder_weights=imagenet_folded is a mobilenet_v2, not a {self.encoder}")
        return self

    @model_validator(mode="after")
    def _fits_architecture(self) -> "UnetConfig":
        if self.architecture.startswith("monai_") != (self.encoder == "none"):
            raise ValueError(
                f"architecture={self.architecture} and encoder={self.encoder}: MONAI's networks have no encoder of "
                "their own (encoder=none), all others need one"
            )
        if self.encoder == "none" and (
            self.strategy not in ("all", "scratch") or self.encoder_weights not in ("none", "network")
        ):
            raise ValueError(
                f"architecture={self.architecture} cannot be divided into parts: use strategy=scratch or all, and "
                "encoder_weights=none or network"
            )
        if self.architecture != "unet" and (self.strategy in BLOCKWISE or self.deep_supervision):
            raise ValueError(
                f"architecture={self.architecture}: only a unet has the decoder blocks d0 to d4, which "
                f"strategy={self.strategy} or deep_supervision needs"
            )
        return self

    @model_validator(mode="after")
    def _fits_training(self) -> "UnetConfig":
        if self.classes == 2:
            raise ValueError("classes=2: one structure against the background is classes=1, several are 3 or more")
        if self.epochs is None and self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps={self.warmup_steps} leaves nothing of steps={self.steps}")
        if self.fold is not None and not (self.fold[1] >= 2 and 0 <= self.fold[0] < self.fold[1]):
            raise ValueError(f"fold={list(self.fold)}: give which (from 0) and of how many (2 or more)")
        return self


class SegmentConfig(Config):
    """Prediction of masks.

    Attributes:
        flip: average over each image and its mirror image (test-time augmentation).
        clean: keep the largest component of each structure and fill its holes.
        batch_size: images at once; the result does not depend on it.
        device: `auto`, `cpu`, `cuda` or another of torch; `auto` takes a GPU if there is one.
    """

    flip: bool = False
    clean: bool = True
    batch_size: Annotated[PositiveInt, Runtime] = 16
    device: Annotated[str, Runtime] = "auto"
