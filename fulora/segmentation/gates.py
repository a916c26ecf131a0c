"""What a drawn head mask must look like to be trained on. Torch-free."""

from typing import Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, PositiveInt

from fulora.biometry.ellipse import MeasurementError, ellipse_mask, fit_mask
from fulora.config import Config

MaskFault = Literal[
    "no_mask", "several_pieces", "share", "axis_ratio", "not_an_ellipse", "cut_by_border", "disagreement"
]
ShareRange = tuple[float, float]


class MaskQualityConfig(Config):
    """Limits of a head's mask. The defaults stand a little outside what HC18's 296 reference masks show.

    Attributes:
        share: of the picture that is head.
        axis_ratio: short to long axis of the fitted ellipse.
        fit_iou: least IoU of the mask with that ellipse.
        coverage: least share of the contour that does not lie on the border of the picture.
    """

    share: ShareRange = (0.03, 0.60)
    axis_ratio: ShareRange = (0.62, 0.95)
    fit_iou: float = Field(default=0.95, ge=0, le=1)
    coverage: float = Field(default=0.75, ge=0, le=1)


class AdditionConfig(Config):
    """Which generated or unlabelled images are added to labelled ones.

    Attributes:
        images: how many are added, at most.
        filtered: only those whose mask passes the gates (and of which, if a model drew it, it is sure enough); else the
            first ones.
        gates: limits of a head's mask.
        refine: train on the ellipse that fits a mask instead of the mask.
        agreement: of pictures drawn on given masks: least Dice of that mask with the one that the teachers see.
        target_dice: of masks that models draw: how sure is calibrated on labelled validation images, of which those
            that are accepted have this mean Dice.
    """

    images: PositiveInt = 100
    filtered: bool = True
    gates: MaskQualityConfig = Field(default_factory=MaskQualityConfig)
    refine: bool = True
    agreement: float = Field(default=0.9, ge=0, le=1)
    target_dice: float = Field(default=0.95, gt=0, lt=1)


def find_mask_fault(mask: UInt8[np.ndarray, "h w"], limits: MaskQualityConfig) -> MaskFault | None:
    """Why a mask of one structure (0 or 1) is no head, or None."""
    try:
        fit = fit_mask(mask > 0)
    except MeasurementError:
        return "no_mask"
    shortest, longest = limits.axis_ratio
    found: dict[MaskFault, bool] = {
        "several_pieces": fit.components > 1,
        "share": not limits.share[0] <= float((mask > 0).mean()) <= limits.share[1],
        "axis_ratio": not shortest <= fit.ellipse.b / fit.ellipse.a <= longest,
        "not_an_ellipse": fit.fit_iou < limits.fit_iou,
        "cut_by_border": fit.coverage < limits.coverage,
    }
    return next((cause for cause, is_so in found.items() if is_so), None)


def fit_ellipse_mask(mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The filled ellipse that fits a mask best; the mask itself where none can be fitted."""
    try:
        return ellipse_mask(fit_mask(mask > 0).ellipse, mask.shape).astype(np.uint8)
    except MeasurementError:
        return mask
