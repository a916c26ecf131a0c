"""Loss, augmentation, prediction: what can be checked without training."""

import numpy as np
import pytest
import torch

from fulora.segmentation.augment import augment
from fulora.segmentation.config import Augmentation, SegmentConfig, UnetConfig
from fulora.segmentation.loss import mean_dice, segmentation_loss
from fulora.segmentation.model import build_unet
from fulora.segmentation.predict import largest_filled, predict, probabilities, to_labels
from fulora.training.seeded_draws import seeded_generator


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
    assert np.array_equal(to_labels(sure[0].numpy()), truth[0].numpy())


def test_dice_is_per_image_and_structure() -> None:
    truth, predicted = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    truth[0, :2], predicted[0, 1:3] = 1, 1  # half common; the second image misses it; the third is empty on both sides
    truth[1, 0] = 1
    assert mean_dice(predicted, truth, 1) == pytest.approx((0.5 + 0 + 1) / 3)
    assert mean_dice(predicted, truth, 2) == pytest.approx((0.5 + 0 + 1 + 3) / 6)


def squares() -> torch.Tensor:
    masks = torch.zeros(8, 64, 64, dtype=torch.long)
    masks[:, 10:30, 20:40] = 1
    return masks


@pytest.mark.parametrize("kind", ["paper", "mild", "strong"])
def test_image_and_mask_move_together(kind: Augmentation) -> None:
    masks = squares()
    images, labels = augment(masks * 200.0, masks, kind, 0)
    assert (labels.unique() == torch.tensor([0, 1])).all()
    assert images.min() >= 0
    assert images.max() <= 255
    assert mean_dice((images > 100).long(), labels, 1) > (0.9 if kind == "strong" else 0.96)
    assert mean_dice(labels, masks, 1) < 0.9


def test_without_augmentation_nothing_moves() -> None:
    images, labels = augment(squares() * 200.0, squares(), "none", 0)
    assert torch.equal(labels, squares())
    assert torch.allclose(images, squares() * 200.0)


@pytest.mark.parametrize("kind", ["paper", "strong"])
def test_augmentation_is_a_function_of_its_seed(kind: Augmentation) -> None:
    images = 255 * torch.rand(2, 32, 32, generator=seeded_generator("x"))
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (augment(images, torch.zeros(2, 32, 32), kind, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), drawn)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_turning_keeps_shapes_round() -> None:
    """A disc stays a disc: no shear in the affine map."""
    axis = torch.arange(128) - 63.5
    disc = ((axis[:, None] ** 2 + axis**2) < 30**2).long()[None].repeat(16, 1, 1)
    _, moved = augment(disc.float(), disc, "mild", 0)
    for label in moved:
        rows, columns = label.nonzero().float().T
        assert rows.std() / columns.std() == pytest.approx(1, abs=0.03)


def test_weights_of_images_in_the_loss() -> None:
    truth = torch.tensor([[[0, 1]], [[1, 0]]])
    logits = torch.tensor([[[[9.0, -9.0]]], [[[9.0, -9.0]]]])  # the first wrong, the second right
    wrong, right = (segmentation_loss(logits[i : i + 1], truth[i : i + 1]) for i in (0, 1))
    weighted = segmentation_loss(logits, truth, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx((wrong + 3 * right).item() / 4)
    assert segmentation_loss(logits, truth, kind="ce").item() == pytest.approx(9.0 / 2, abs=1e-3)


def test_largest_piece_and_no_holes() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[2:12, 2:12], mask[5:7, 5:7], mask[15:18, 15:18] = 1, 0, 1
    mask[8:10, 8:10] = 2  # inside class 1, and no hole of it
    mask[0, 19] = 2
    clean = largest_filled(mask)
    assert (clean == 1).sum() == 100 - 4
    assert (clean == 2).sum() == 4
    assert largest_filled(np.zeros((4, 4), np.uint8)).sum() == 0


def tiny(**changes: object) -> UnetConfig:
    return UnetConfig.model_validate({"encoder": "resnet18", "decoder_channels": (16, 16, 16, 8, 8), **changes})


PLAIN = SegmentConfig(clean=False)


@pytest.mark.parametrize("classes", [1, 3])
def test_prediction_does_not_depend_on_the_batch_size(classes: int) -> None:
    model = build_unet(tiny(classes=classes))
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    one, three = (
        np.stack(list(predict([model], images, PLAIN.model_copy(update={"batch_size": size})))) for size in (1, 3)
    )
    assert one.dtype == np.uint8
    assert (one == three).mean() > 0.999
    assert one.max() < max(2, classes)
    assert list(predict([model], images[:0], PLAIN)) == []


def test_images_of_several_sizes_keep_their_sizes() -> None:
    models = [build_unet(tiny(image_size_px=64)), build_unet(tiny(image_size_px=96, fit="squash", seed=1))]
    images = [np.full(shape, 90, np.uint8) for shape in ((50, 80), (64, 64), (50, 80), (101, 33))]
    assert [share.shape for share in probabilities(models, images)] == [(1, *image.shape) for image in images]


def test_an_ensemble_is_the_mean_and_mirror_images_are_mirrored_back() -> None:
    models = [build_unet(tiny(seed=seed)) for seed in (0, 1)]
    image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    first, second = (next(probabilities([model], [image])) for model in models)
    assert np.allclose(next(probabilities(models, [image])), (first + second) / 2, atol=1e-6)
    mirrored = next(probabilities(models[:1], [image[:, ::-1].copy()]))[..., ::-1]
    assert np.allclose(next(probabilities(models[:1], [image], flip=True)), (first + mirrored) / 2, atol=1e-5)
    assert np.allclose(sum(next(probabilities([build_unet(tiny(classes=3))], [image]))), 1, atol=1e-5)
