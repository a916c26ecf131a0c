"""One affine change of pictures: a crop, a turn, a mirror and a shift at once, each picture by its own."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody knows


def view(
    width: Float[Tensor, " b"],
    height: Float[Tensor, " b"],
    shift: Float[Tensor, "2 b"],
    *,
    angle_rad: Float[Tensor, " b"] | None = None,
    mirror: Float[Tensor, " b"] | None = None,
) -> Float[Tensor, "b 2 3"]:
    """The part of each picture that is shown: where the corners of the result lie in it, from -1 to 1 along each side.

    Args:
        width, height: as shares of the picture's.
        shift: of the centre, across and down, in halves of the picture's sides.
        angle_rad: by which the part lies clockwise, so that what it shows is turned the other way.
        mirror: -1 turns a picture over, 1 does not.
    """
    none = torch.zeros_like(width)
    cos, sin = (none + 1, none) if angle_rad is None else (angle_rad.cos(), angle_rad.sin())
    side = none + 1 if mirror is None else mirror
    across = torch.stack([width * cos * side, -height * sin, shift[0]], 1)
    down = torch.stack([width * sin * side, height * cos, shift[1]], 1)
    return torch.stack([across, down], 1)


def warp(
    pixels: Float[Tensor, "b c h w"],
    views: Float[Tensor, "b 2 3"],
    mode: Literal["bilinear", "nearest"] = "bilinear",
    outside: Literal["zeros", "border"] = "zeros",
) -> Float[Tensor, "b c h w"]:
    """Each picture as its view shows it, at the same size; masks, with the same views, by the nearest pixel.

    Args:
        outside: what a view shows beyond the picture: black, or its border drawn out.
    """
    grid = F.affine_grid(views, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, mode=mode, padding_mode=outside, align_corners=False)
