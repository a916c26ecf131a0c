"""Masks of heads that nobody has, near those of a few that somebody has. Torch-free."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from fulora.biometry.ellipse import Ellipse, MeasurementError, ellipse_mask, fit_mask
from fulora.segmentation.gates import MaskQualityConfig, find_mask_fault

SHIFT, SCALE, TURN_DEG = 0.06, 0.1, 20.0
"""Standard deviations: of the centre (share of the image's side), of the logarithm of each axis, of the angle."""
TRIES = 100


def propose_masks(
    masks: Sequence[UInt8[np.ndarray, "h w"]], count: int, seed: int, limits: MaskQualityConfig
) -> UInt8[np.ndarray, "count h w"]:
    """Filled ellipses near those of given heads, mirrored or not, that pass the gates.

    Raises:
        ValueError: none of the masks has an ellipse, or none near them passes the gates.
    """
    known = [ellipse for mask in masks if (ellipse := _ellipse(mask)) is not None]
    if not known:
        raise ValueError(f"none of {len(masks)} masks has an ellipse to draw others like it")
    random, found, shape = np.random.default_rng(seed), list[UInt8[np.ndarray, "h w"]](), masks[0].shape
    for _ in range(TRIES * count):
        if len(found) == count:
            break
        mask = ellipse_mask(_near(known[random.integers(len(known))], shape, random), shape).astype(np.uint8)
        mask = mask[:, ::-1] if random.random() < 0.5 else mask
        if find_mask_fault(mask, limits) is None:
            found.append(np.ascontiguousarray(mask))
    if len(found) < count:
        raise ValueError(f"only {len(found)} of {count} proposed heads pass the gates: widen them")
    return np.stack(found)


def _ellipse(mask: UInt8[np.ndarray, "h w"]) -> Ellipse | None:
    try:
        return fit_mask(mask > 0).ellipse
    except MeasurementError:
        return None


def _near(ellipse: Ellipse, shape: tuple[int, ...], random: np.random.Generator) -> Ellipse:
    side = min(shape)
    x, y = np.array([ellipse.x, ellipse.y]) + SHIFT * side * random.standard_normal(2)
    a, b = np.sort(np.array([ellipse.a, ellipse.b]) * np.exp(SCALE * random.standard_normal(2)))[::-1]
    angle = (ellipse.angle_deg + TURN_DEG * random.standard_normal()) % 180
    return Ellipse(float(x), float(y), float(a), float(b), float(angle))
