"""The config of added images: how many, and which are accepted. Torch-free."""

from typing import Annotated

from pydantic import Field, PositiveInt

from fulora.config import Config, Runtime
from fulora.segmentation.mask_quality import MaskQualityConfig


class AdditionConfig(Config):
    """Selection of generated or unlabelled images that are added to labelled ones.

    Attributes:
        images: maximum number of added images.
        filtered: add only images whose mask passes the quality rules and, if predicted, has enough confidence; else the
            first ones.
        gates: the mask quality rules.
        refine: replace each mask by the ellipse fitted to it.
        agreement: of pictures generated from masks: minimum Dice of the mask with the teachers' prediction.
        target_dice: of predicted masks: the minimum confidence is such that accepted validation images have this mean
            Dice.
        device: of the networks that predict masks.
    """

    images: PositiveInt = 100
    filtered: bool = True
    gates: MaskQualityConfig = Field(default_factory=MaskQualityConfig)
    refine: bool = True
    agreement: float = Field(default=0.9, ge=0, le=1)
    target_dice: float = Field(default=0.95, gt=0, lt=1)
    device: Annotated[str, Runtime] = "auto"
