"""Random changes of gray pictures that keep their plane, on tensors, drawn from a given generator."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

ZOOM = 0.75
"""Smallest side of a crop, as a share of the picture."""
ANGLE_DEG = 15.0
GAIN, GAMMA = 0.3, 0.4
"""Largest relative change of the gain, and largest change of the logarithm of the gamma."""


def augmented(pixels: Float[Tensor, "b 1 h w"], generator: torch.Generator) -> Float[Tensor, "b 1 h w"]:
    """Every picture cropped, rotated, perhaps mirrored, and changed in gain and contrast. Pixels 0 to 1, on the CPU."""
    draw = torch.rand(7, len(pixels), generator=generator)
    side = ZOOM + (1 - ZOOM) * draw[0]
    angle = math.radians(ANGLE_DEG) * (2 * draw[1] - 1)
    mirror = torch.where(draw[2] < 0.5, -1.0, 1.0)
    shift = (1 - side) * (2 * draw[3:5] - 1)
    cos, sin = side * angle.cos(), side * angle.sin()
    rows = (torch.stack([cos * mirror, -sin, shift[0]], 1), torch.stack([sin * mirror, cos, shift[1]], 1))
    grid = F.affine_grid(torch.stack(rows, 1), list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    gain = (1 + GAIN * (2 * draw[5] - 1)).view(-1, 1, 1, 1)
    gamma = (GAMMA * (2 * draw[6] - 1)).exp().view(-1, 1, 1, 1)
    return (gain * moved.clamp(0, 1) ** gamma).clamp(0, 1)
