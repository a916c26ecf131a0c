"""Affine transforms of pictures: crop, rotation, mirroring and shift at once, with parameters of its own for each."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name


def view(
    width: Float[Tensor, " b"],
    height: Float[Tensor, " b"],
    shift: Float[Tensor, "2 b"],
    *,
    angle_rad: Float[Tensor, " b"] | None = None,
    mirror: Float[Tensor, " b"] | None = None,
) -> Float[Tensor, "b 2 3"]:
    """Return the affine matrices of views: parts of pictures, in coordinates from -1 to 1 along each side.

    Args:
        width, height: of the view, as fractions of the picture's.
        shift: of the view's centre, right and down, in halves of the picture's sides.
        angle_rad: clockwise rotation of the view, so that its content turns the other way.
        mirror: -1 mirrors a picture, 1 does not.
    """
    zeros = torch.zeros_like(width)
    cos, sin = (zeros + 1, zeros) if angle_rad is None else (angle_rad.cos(), angle_rad.sin())
    side = zeros + 1 if mirror is None else mirror
    across = torch.stack([width * cos * side, -height * sin, shift[0]], 1)
    down = torch.stack([width * sin * side, height * cos, shift[1]], 1)
    return torch.stack([across, down], 1)


def warp(
    pixels: Float[Tensor, "b c h w"],
    views: Float[Tensor, "b 2 3"],
    mode: Literal["bilinear", "nearest"] = "bilinear",
    outside: Literal["zeros", "border"] = "zeros",
) -> Float[Tensor, "b c h w"]:
    """Resample pictures as their views show them, at the same size; masks with `mode="nearest"`.

    Args:
        outside: pixels beyond the picture: black, or those of its border.
    """
    grid = F.affine_grid(views, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, mode=mode, padding_mode=outside, align_corners=False)
