"""Random augmentation of batches of gray pictures, with a given generator."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fulora.affine import view, warp
from fulora.classification.config import Augmentation

ZOOM = 0.75
"""Smallest side of a crop, as a fraction of the picture."""
ANGLE_DEG = 15.0
GAIN, GAMMA = 0.3, 0.4
"""Largest relative change of the gain, and largest change of the logarithm of the gamma."""

FU_LORA_AREA, FU_LORA_ASPECT, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10
"""torchvision's defaults for FU-LoRA's crops: fraction of the area, width to height, attempts."""


def augment(
    pixels: Float[Tensor, "b 1 h w"], kind: Augmentation, generator: torch.Generator
) -> Float[Tensor, "b 1 h w"]:
    """Augment each picture at random. Pixels are 0 to 1, on any device; the generator is on the CPU."""
    match kind:
        case "none":
            return pixels
        case "mild":
            return _mild(pixels, generator)
        case "fu_lora":
            return _fu_lora(pixels, generator)


def _mild(pixels: Float[Tensor, "b 1 h w"], generator: torch.Generator) -> Float[Tensor, "b 1 h w"]:
    draw = torch.rand(7, len(pixels), generator=generator).to(pixels.device)
    side = ZOOM + (1 - ZOOM) * draw[0]
    angle = math.radians(ANGLE_DEG) * (2 * draw[1] - 1)
    mirror = torch.where(draw[2] < 0.5, -1.0, 1.0)
    shift = (1 - side) * (2 * draw[3:5] - 1)
    shown = warp(pixels, view(side, side, shift, angle_rad=angle, mirror=mirror))
    gain = (1 + GAIN * (2 * draw[5] - 1)).view(-1, 1, 1, 1)
    gamma = (GAMMA * (2 * draw[6] - 1)).exp().view(-1, 1, 1, 1)
    return (gain * shown.clamp(0, 1) ** gamma).clamp(0, 1)


def _fu_lora(pixels: Float[Tensor, "b 1 h w"], generator: torch.Generator) -> Float[Tensor, "b 1 h w"]:
    """FU-LoRA's (cell 24): RandomRotation(15), RandomResizedCrop(scale=(0.08, 1)), RandomHorizontalFlip.

    The rotation takes the nearest pixel and fills with black, the crop is bilinear, as torchvision does; crops have no
    whole-pixel borders.
    """
    draw = torch.rand(4, len(pixels), generator=generator).to(pixels.device)
    turned = rotate_pictures(pixels, math.radians(ANGLE_DEG) * (2 * draw[0] - 1))
    width, height = (side.to(pixels.device) for side in draw_crops(len(pixels), generator))
    mirror = torch.where(draw[3] < 0.5, -1.0, 1.0)
    shift = torch.stack([(1 - width) * (2 * draw[1] - 1), (1 - height) * (2 * draw[2] - 1)])
    return warp(turned, view(width, height, shift, mirror=mirror), outside="border")


def rotate_pictures(pixels: Float[Tensor, "b 1 s s"], angle_rad: Float[Tensor, "b"]) -> Float[Tensor, "b 1 s s"]:
    """Rotate square pictures clockwise, each by its angle: nearest pixel, black outside."""
    ones, zeros = torch.ones_like(angle_rad), torch.zeros_like(angle_rad)
    return warp(pixels, view(ones, ones, torch.stack([zeros, zeros]), angle_rad=-angle_rad), "nearest")


def draw_crops(count: int, generator: torch.Generator) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """Return width and height of each random crop, as fractions of a square picture: the first of ten to fit, or 1."""
    area = FU_LORA_AREA[0] + (FU_LORA_AREA[1] - FU_LORA_AREA[0]) * torch.rand(TRIES, count, generator=generator)
    low, high = (math.log(bound) for bound in FU_LORA_ASPECT)
    aspect = torch.exp(low + (high - low) * torch.rand(TRIES, count, generator=generator))
    width, height = (area * aspect).sqrt(), (area / aspect).sqrt()
    fits = (width <= 1) & (height <= 1)
    first, which = fits.float().argmax(0), torch.arange(count)
    return tuple(torch.where(fits.any(0), side[first, which], 1.0) for side in (width, height))  # type: ignore[return-value]
