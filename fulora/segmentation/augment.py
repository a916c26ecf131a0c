"""Random changes of an image together with its mask."""

import math

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

TURN_DEG, SCALE, SHIFT, GAIN, OFFSET = 25.0, 0.2, 0.08, 0.2, 12.0
"""Largest turn (degrees), change of size, shift (share of the image), change of gain, brightness (gray values)."""


def augment(
    images: Shaped[Tensor, "b h w"], masks: Shaped[Tensor, "b h w"], random: torch.Generator
) -> tuple[Float[Tensor, "b h w"], Int[Tensor, "b h w"]]:
    """Turn, scale, shift and mirror (left to right) images and masks alike; change gain and brightness of the images.

    What comes in from outside the image is black, and background.

    Args:
        images: gray, 0 to 255.
        masks: class numbers.
        random: a CPU generator; the draws do not depend on the device.
    """
    count = len(images)
    turn, scale, x, y, gain, offset = (2 * torch.rand((6, count), generator=random) - 1).unbind()
    mirror = torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
    angle, zoom = turn * math.radians(TURN_DEG), 1 / (1 + scale * SCALE)
    rows = (mirror * zoom * angle.cos(), -zoom * angle.sin(), 2 * SHIFT * x)
    more = (mirror * zoom * angle.sin(), zoom * angle.cos(), 2 * SHIFT * y)
    affine = torch.stack([*rows, *more], dim=1).view(count, 2, 3).to(images.device)
    grid = functional.affine_grid(affine, [count, 1, *images.shape[1:]], align_corners=False)
    moved = functional.grid_sample(images[:, None].float(), grid, align_corners=False)[:, 0]
    labels = functional.grid_sample(masks[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0]
    gain, offset = (value.view(-1, 1, 1).to(images.device) for value in (1 + gain * GAIN, offset * OFFSET))
    return (moved * gain + offset * (moved > 0)).clamp(0, 255), labels.long()
