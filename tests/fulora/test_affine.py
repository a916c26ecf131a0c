"""One affine change: checked against torchvision, and masks go with their pictures."""

import math

import pytest
import torch
from kornia.geometry import transform as kornia
from torchvision.transforms import functional as torchvision

from fulora.affine import view, warp

ONE, NONE = torch.ones(1), torch.zeros(2, 1)
PICTURE = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))


def test_the_whole_picture_stays_as_it_is_and_a_mirror_turns_it_over() -> None:
    assert torch.allclose(warp(PICTURE, view(ONE, ONE, NONE)), PICTURE, atol=1e-6)
    assert torch.allclose(warp(PICTURE, view(ONE, ONE, NONE, mirror=-ONE)), PICTURE.flip(-1), atol=1e-6)


def test_a_part_is_that_of_torchvision() -> None:
    """The middle half across and down, shifted by a quarter of the side to the right."""
    ours = warp(PICTURE, view(ONE / 2, ONE / 2, torch.tensor([[0.5], [0.0]])))
    theirs = torchvision.resized_crop(PICTURE, 10, 20, 20, 20, [40, 40], antialias=False)
    assert torch.allclose(ours[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize("degrees", [12.0, -30.0])
def test_a_turn_is_that_of_kornia(degrees: float) -> None:
    ours = warp(PICTURE, view(ONE, ONE, NONE, angle_rad=torch.tensor([math.radians(degrees)])))
    theirs = kornia.rotate(PICTURE, torch.tensor([degrees]), align_corners=False)
    assert torch.allclose(ours[..., 4:-4, 4:-4], theirs[..., 4:-4, 4:-4], atol=1e-4)


def test_a_mask_goes_with_its_picture_and_keeps_its_class_numbers() -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    mask = (torch.hypot(rows - 24, columns - 36) < 12).float()[None, None] * 2
    views = view(ONE * 0.8, ONE * 0.9, torch.tensor([[0.1], [-0.05]]), angle_rad=torch.tensor([0.3]), mirror=-ONE)
    label, shown = warp(mask, views, "nearest"), warp(mask / 2, views)
    assert label.unique().tolist() == [0, 2]
    assert ((label > 0) != (shown > 0.5)).float().mean() < 0.005


def test_what_lies_outside_is_black_or_the_border() -> None:
    white = torch.ones(1, 1, 8, 8)
    away = view(ONE, ONE, torch.tensor([[1.0], [0.0]]))
    assert warp(white, away)[0, 0, 0].tolist() == [1.0] * 4 + [0.0] * 4
    assert warp(white, away, outside="border").unique().tolist() == [1.0]
