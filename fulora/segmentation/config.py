"""What a U-Net starts from, which of its parts learn, and how it is trained. Torch-free."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from fulora.config import Config, Runtime

Part = Literal["encoder", "d0", "d1", "d2", "d3", "d4"]
StrategyName = Literal["all", "scratch", "random_frozen_encoder", "encoder", "d0", "d0-1", "d0-2", "d2-4", "d4", "d0-4"]
EncoderWeights = Literal["none", "imagenet", "imagenet_folded"]


@dataclass(frozen=True)
class Strategy:
    """Which parts learn. The segmentation head is apart: see `UnetConfig.train_head`.

    Attributes:
        learns: parts whose weights change; d0 is the deepest decoder block, d4 the one before the head.
        random_start: the strategy is *defined* by an encoder that starts from random weights.
    """

    learns: tuple[Part, ...]
    random_start: bool = False


STRATEGIES: dict[StrategyName, Strategy] = {
    "all": Strategy(("encoder", "d0", "d1", "d2", "d3", "d4")),
    "scratch": Strategy(("encoder", "d0", "d1", "d2", "d3", "d4"), random_start=True),
    "random_frozen_encoder": Strategy(("d0", "d1", "d2", "d3", "d4"), random_start=True),
    "encoder": Strategy(("encoder",)),
    "d0": Strategy(("d0",)),
    "d0-1": Strategy(("d0", "d1")),
    "d0-2": Strategy(("d0", "d1", "d2")),
    "d2-4": Strategy(("d2", "d3", "d4")),
    "d4": Strategy(("d4",)),
    "d0-4": Strategy(("d0", "d1", "d2", "d3", "d4")),
}
"""The nine strategies of arXiv 2307.09067 and 2407.20086, and `all`: full fine-tuning, which those papers left out."""


class UnetConfig(Config):
    """A U-Net and its training.

    Attributes:
        encoder: name of the encoder in segmentation_models_pytorch.
        encoder_weights: `none` is random; `imagenet` is fetched by segmentation_models_pytorch (needs the network);
            `imagenet_folded` is read from a local file, which is an input of the stage (mobilenet_v2 only).
        decoder_channels: channels of d0 to d4; the default is the published network, fewer are faster on a CPU.
        classes: 1 is one structure against the background; 3 is background, pubic symphysis, fetal head.
        image_size_px: height and width of the images, a multiple of 32.
        strategy: which parts learn.
        train_head: whether the segmentation head learns too. The papers trained it only where the whole decoder or
            everything learns; a random frozen head hurts the other strategies.
        augment: turn, scale, shift, mirror and brighten every training image at random.
        evaluate_every: steps between two looks at the validation images; the best of these weights is kept.
    """

    encoder: Literal["mobilenet_v2", "resnet18", "efficientnet-b0", "mit_b0"] = "mobilenet_v2"
    encoder_weights: EncoderWeights = "none"
    decoder_channels: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (256, 128, 64, 32, 16)
    classes: Literal[1, 3] = 1
    image_size_px: PositiveInt = Field(default=256, ge=64, multiple_of=32)
    strategy: StrategyName = "all"
    train_head: bool = True
    steps: PositiveInt = 1000
    batch_size: int = Field(default=16, ge=2)
    learning_rate: PositiveFloat = 1e-3
    weight_decay: float = Field(default=1e-2, ge=0)
    augment: bool = True
    evaluate_every: PositiveInt = 100
    seed: int = 0
    checkpoint_every: Annotated[PositiveInt, Runtime] = 200
    device: Annotated[str, Runtime] = "auto"

    @model_validator(mode="after")
    def _start_fits_strategy(self) -> "UnetConfig":
        strategy = STRATEGIES[self.strategy]
        if strategy.random_start and self.encoder_weights != "none":
            raise ValueError(
                f"strategy={self.strategy} starts from random weights and encoder_weights={self.encoder_weights} "
                "does not; set encoder_weights=none or choose another strategy"
            )
        if self.encoder_weights == "none" and not strategy.random_start and "encoder" not in strategy.learns:
            raise ValueError(
                f"strategy={self.strategy} freezes the encoder, which encoder_weights=none would leave random; "
                "give it weights, or ask for strategy=random_frozen_encoder"
            )
        if self.encoder_weights == "imagenet_folded" and self.encoder != "mobilenet_v2":
            raise ValueError(f"encoder_weights=imagenet_folded is a mobilenet_v2, not a {self.encoder}")
        return self
