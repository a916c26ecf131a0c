"""Quality rules for head masks that are trained on. Torch-free."""

from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, PositiveInt

from fulora.biometry.ellipse import MeasurementError, ellipse_mask, fit_mask
from fulora.config import Config, Runtime

MaskFault = Literal[
    "no_mask", "several_pieces", "share", "axis_ratio", "not_an_ellipse", "cut_by_border", "disagreement"
]
ShareRange = tuple[float, float]


class MaskQualityConfig(Config):
    """Limits of a head's mask. The defaults are slightly wider than the range of HC18's 296 reference masks.

    Attributes:
        share: the head's fraction of the picture.
        axis_ratio: ratio of the short to the long axis of the fitted ellipse.
        fit_iou: minimum IoU of the mask with that ellipse.
        coverage: minimum fraction of the contour that is not on the border of the picture.
    """

    share: ShareRange = (0.03, 0.60)
    axis_ratio: ShareRange = (0.62, 0.95)
    fit_iou: float = Field(default=0.95, ge=0, le=1)
    coverage: float = Field(default=0.75, ge=0, le=1)


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


def find_mask_fault(mask: UInt8[np.ndarray, "h w"], limits: MaskQualityConfig) -> MaskFault | None:
    """Return the first quality rule that a mask of one structure (0 or 1) breaks, or None."""
    try:
        fit = fit_mask(mask > 0)
    except MeasurementError:
        return "no_mask"
    shortest, longest = limits.axis_ratio
    faults: dict[MaskFault, bool] = {
        "several_pieces": fit.components > 1,
        "share": not limits.share[0] <= float((mask > 0).mean()) <= limits.share[1],
        "axis_ratio": not shortest <= fit.ellipse.b / fit.ellipse.a <= longest,
        "not_an_ellipse": fit.fit_iou < limits.fit_iou,
        "cut_by_border": fit.coverage < limits.coverage,
    }
    return next((name for name, is_present in faults.items() if is_present), None)


def fit_ellipse_mask(mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Return the filled ellipse fitted to a mask; the mask itself if none can be fitted."""
    try:
        return ellipse_mask(fit_mask(mask > 0).ellipse, mask.shape).astype(np.uint8)
    except MeasurementError:
        return mask
