"""Pictures as squares and back: the same place, the same scale, whatever they are resampled by."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torchvision.transforms.functional import resize

from fulora.data.pictures.resize import Fit, Resampling, from_square, scale_to_square, to_square

WIDE = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (30, 1))
RESAMPLINGS: tuple[Resampling, ...] = ("area", "bilinear", "bicubic", "nearest")


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("fit", ["letterbox", "squash", "crop", "native"])
def test_a_square_of_that_size_stays_as_it_is(fit: Fit, resampling: Resampling) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8)
    assert to_square(picture, 16, fit, resampling) is picture


def test_native_changes_nothing() -> None:
    assert to_square(WIDE, 20, "native") is WIDE
    assert scale_to_square(WIDE.shape, 20, "native") == 1


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("shape", [(40, 80), (80, 40)])
def test_a_letterbox_keeps_all_of_it_in_the_middle_of_black(shape: tuple[int, int], resampling: Resampling) -> None:
    fitted = to_square(np.full(shape, 200, np.uint8), 32, "letterbox", resampling)
    assert scale_to_square(shape, 32, "letterbox") == 32 / 80
    long = fitted if shape == (40, 80) else fitted.T
    assert not long[:7].any()
    assert not long[25:].any()
    assert (long[10:22] == 200).all()


@pytest.mark.parametrize("shape", [(40, 80), (80, 40)])
def test_a_crop_keeps_the_central_square(shape: tuple[int, int]) -> None:
    pixels = np.zeros((40, 80), np.uint8)
    pixels[:, 20:60] = 200
    assert scale_to_square(shape, 32, "crop") == 32 / 40
    assert (to_square(pixels if shape == (40, 80) else pixels.T, 32, "crop", "area") == 200).all()


def test_a_squash_is_torchvisions_resize() -> None:
    theirs = resize(torch.from_numpy(WIDE)[None], [20, 20], antialias=True)[0].numpy()
    assert np.abs(to_square(WIDE, 20, "squash").astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("fit", ["letterbox", "crop"])
def test_a_circle_stays_a_circle_of_the_scaled_size(fit: Fit) -> None:
    fitted, scale = to_square(circle(), 64, fit, "nearest"), 64 / (400 if fit == "letterbox" else 300)
    rows, columns = np.flatnonzero(fitted.any(1)), np.flatnonzero(fitted.any(0))
    assert np.ptp(rows) + 1 == pytest.approx(201 * scale, abs=1.5)
    assert np.ptp(columns) + 1 == pytest.approx(201 * scale, abs=1.5)
    assert (rows.mean(), columns.mean()) == pytest.approx((31.5, 31.5), abs=1)
    assert (fitted > 0).sum() == pytest.approx(np.pi * (100 * scale) ** 2, rel=0.06)


@pytest.mark.parametrize("fit", ["letterbox", "crop", "squash"])
def test_a_mask_is_shrunk_to_the_same_place_as_its_picture(fit: Fit) -> None:
    """The nearest pixel is the one at the centre: OpenCV's own is up to half a new pixel to the right and below."""
    mask = (circle() > 0).astype(np.uint8)
    shown, small = to_square(mask * 255, 40, fit, "area"), to_square(mask, 40, fit, "nearest")
    assert set(np.unique(small)) == {0, 1}
    assert ndimage.center_of_mass(small) == pytest.approx(ndimage.center_of_mass(shown), abs=0.1)


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
@pytest.mark.parametrize("shape", [(60, 100), (100, 60), (64, 64), (97, 61)])
def test_a_square_is_undone(shape: tuple[int, int], fit: Fit) -> None:
    """Ramps come back as they were, whatever the shape of the picture."""
    assert fit in ("letterbox", "squash")
    for ramp in (np.tile(np.linspace(0, 255, shape[1]), (shape[0], 1)), np.linspace([0] * shape[1], 255, shape[0])):
        square = to_square(ramp.astype(np.uint8), 64, fit)
        back = from_square(square[None].astype(np.float32), shape, fit)[0]
        assert back.shape == shape
        assert np.abs(back - ramp)[5:-5, 5:-5].max() < 8


def circle() -> NDArray[np.uint8]:
    return np.asarray(cv2.circle(np.zeros((300, 400), np.uint8), (200, 150), 100, 255, -1))
