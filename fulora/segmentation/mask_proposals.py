"""New head masks: random variations of given ones. Torch-free."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from fulora.biometry.ellipse import Ellipse, MeasurementError, ellipse_mask, fit_mask
from fulora.segmentation.mask_quality import MaskQualityConfig, find_mask_fault

SHIFT, SCALE, TURN_DEG = 0.06, 0.1, 20.0
"""Standard deviations of the centre (fraction of the image's side), the logarithm of each axis, and the angle."""
TRIES = 100


def propose_masks(
    masks: Sequence[UInt8[np.ndarray, "h w"]], count: int, seed: int, limits: MaskQualityConfig
) -> UInt8[np.ndarray, "count h w"]:
    """Return filled ellipses that vary those of given heads, at random mirrored, and pass the mask quality rules.

    Raises:
        ValueError: if no mask has an ellipse, or too few variations pass the rules.
    """
    ellipses = [ellipse for mask in masks if (ellipse := _ellipse(mask)) is not None]
    if not ellipses:
        raise ValueError(f"none of {len(masks)} masks has an ellipse that could be varied")
    random, shape = np.random.default_rng(seed), masks[0].shape
    proposals: list[UInt8[np.ndarray, "h w"]] = []
    for _ in range(TRIES * count):
        if len(proposals) == count:
            break
        mask = ellipse_mask(_vary(ellipses[random.integers(len(ellipses))], shape, random), shape).astype(np.uint8)
        mask = mask[:, ::-1] if random.random() < 0.5 else mask
        if find_mask_fault(mask, limits) is None:
            proposals.append(np.ascontiguousarray(mask))
    if len(proposals) < count:
        raise ValueError(f"only {len(proposals)} of {count} proposed heads pass the mask quality rules: widen them")
    return np.stack(proposals)


def _ellipse(mask: UInt8[np.ndarray, "h w"]) -> Ellipse | None:
    try:
        return fit_mask(mask > 0).ellipse
    except MeasurementError:
        return None


def _vary(ellipse: Ellipse, shape: tuple[int, ...], random: np.random.Generator) -> Ellipse:
    side = min(shape)
    x, y = np.array([ellipse.x, ellipse.y]) + SHIFT * side * random.standard_normal(2)
    a, b = np.sort(np.array([ellipse.a, ellipse.b]) * np.exp(SCALE * random.standard_normal(2)))[::-1]
    angle = (ellipse.angle_deg + TURN_DEG * random.standard_normal()) % 180
    return Ellipse(float(x), float(y), float(a), float(b), float(angle))
