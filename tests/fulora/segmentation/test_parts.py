"""Loss, augmentation, prediction: what can be checked without training."""

import numpy as np
import pytest
import torch

from fulora.segmentation.augment import augment
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.loss import mean_dice, segmentation_loss, to_labels
from fulora.segmentation.model import build_unet
from fulora.segmentation.predict import largest_filled, predict
from fulora.training import generator


def test_loss_of_one_structure() -> None:
    truth = torch.zeros(1, 2, 2, dtype=torch.long)
    truth[0, 0] = 1
    at_zero = segmentation_loss(torch.zeros(1, 1, 2, 2), truth)  # p = 1/2: common 1, sum(p) 2, sum(t) 2
    assert at_zero.item() == pytest.approx(np.log(2) + 1 - 3 / 5)
    sure = (truth[:, None].float() * 2 - 1) * 50
    assert segmentation_loss(sure, truth).item() == pytest.approx(0, abs=1e-6)
    assert segmentation_loss(-sure, truth).item() > 50


def test_loss_of_three_classes() -> None:
    truth = torch.tensor([[[0, 1], [2, 0]]])
    at_zero = segmentation_loss(torch.zeros(1, 3, 2, 2), truth)  # p = 1/3: common 1/3, sum(p) 4/3, sum(t) 1
    assert at_zero.item() == pytest.approx(np.log(3) + 1 - (2 / 3 + 1) / (4 / 3 + 2))
    sure = 50 * torch.nn.functional.one_hot(truth, 3).movedim(-1, 1).float()
    assert segmentation_loss(sure, truth).item() == pytest.approx(0, abs=1e-6)
    assert torch.equal(to_labels(sure), truth)


def test_dice_is_per_image_and_structure() -> None:
    truth, predicted = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    truth[0, :2], predicted[0, 1:3] = 1, 1  # half common; the second image misses it; the third is empty on both sides
    truth[1, 0] = 1
    assert mean_dice(predicted, truth, 1) == pytest.approx((0.5 + 0 + 1) / 3)
    assert mean_dice(predicted, truth, 2) == pytest.approx((0.5 + 0 + 1 + 3) / 6)


def test_image_and_mask_move_together() -> None:
    masks = torch.zeros(8, 64, 64, dtype=torch.long)
    masks[:, 10:30, 20:40] = 1
    images, labels = augment(masks * 200.0, masks, generator("test", 0))
    assert (labels.unique() == torch.tensor([0, 1])).all()
    assert mean_dice((images > 100).long(), labels, 1) > 0.97
    assert mean_dice(labels, masks, 1) < 0.9
    assert len({int(label.sum()) for label in labels}) > 4


def test_augmentation_is_a_function_of_its_generator() -> None:
    images, masks = 255 * torch.rand(2, 32, 32, generator=generator("x")), torch.zeros(2, 32, 32)
    first, again, other = (augment(images, masks, generator("test", i))[0] for i in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_turning_keeps_shapes_round() -> None:
    """A disc stays a disc: no shear in the affine map."""
    axis = torch.arange(128) - 63.5
    disc = ((axis[:, None] ** 2 + axis**2) < 30**2).long()[None].repeat(16, 1, 1)
    _, moved = augment(disc.float(), disc, generator("disc"))
    for label in moved:
        rows, columns = label.nonzero().float().T
        assert rows.std() / columns.std() == pytest.approx(1, abs=0.03)


def test_largest_piece_and_no_holes() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[2:12, 2:12], mask[5:7, 5:7], mask[15:18, 15:18] = 1, 0, 1
    mask[8:10, 8:10] = 2  # inside class 1, and no hole of it
    mask[0, 19] = 2
    clean = largest_filled(mask)
    assert (clean == 1).sum() == 100 - 4
    assert (clean == 2).sum() == 4
    assert largest_filled(np.zeros((4, 4), np.uint8)).sum() == 0


def test_prediction_does_not_depend_on_the_batch_size() -> None:
    for classes in (1, 3):
        model = build_unet(UnetConfig(image_size_px=64, classes=classes))
        images = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
        one, three = predict(model, images, 1, clean=False), predict(model, images, 3, clean=False)
        assert one.dtype == np.uint8
        assert (one == three).mean() > 0.999
        assert one.max() < max(2, classes)
    assert predict(model, images[:0], 2).shape == (0, 64, 64)
