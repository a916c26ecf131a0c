import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fulora.segmentation import train
from fulora.segmentation.config import SegmentConfig, UnetConfig
from fulora.segmentation.image_mask_pairs import ImageMaskPairs, SegmentationDataError
from fulora.segmentation.loss import mean_dice
from fulora.segmentation.model import UnetFileError, build_unet, load_unet, save_unet
from fulora.segmentation.predict import predict

NARROW = UnetConfig(decoder_channels=(32, 32, 16, 16, 8), device="cpu")
SMALL = UnetConfig(encoder="resnet18", decoder_channels=(16, 16, 16, 8, 8), device="cpu")
TINY = NARROW.model_copy(update={"steps": 5, "batch_size": 2, "checkpoint_every": 2, "evaluate_every": 2})


def ellipses(count: int, seed: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Bright noisy rims on dark noise, and their filled masks."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size - 0.5
    images, masks = np.zeros((2, count, size, size), np.uint8)
    for i in range(count):
        a, b, angle = random.uniform(0.2, 0.36), random.uniform(0.16, 0.3), random.uniform(0, np.pi)
        u, v = x - random.uniform(-0.1, 0.1), y - random.uniform(-0.1, 0.1)
        r = np.hypot((u * np.cos(angle) + v * np.sin(angle)) / a, (v * np.cos(angle) - u * np.sin(angle)) / b)
        gray = 40 + 60 * (r < 1) + 120 * (np.abs(r - 0.95) < 0.08)
        images[i], masks[i] = np.clip(gray * random.rayleigh(0.7, r.shape), 0, 255), r < 1
    return images, masks


@pytest.mark.slow
def test_it_learns_ellipses(tmp_path: Path) -> None:
    cfg = NARROW.model_copy(update={"steps": 30, "batch_size": 8, "evaluate_every": 10, "learning_rate": 3e-3})
    held_out = ellipses(8, seed=2)
    train.fit(tmp_path, cfg, ImageMaskPairs(*ellipses(24, seed=1)), ImageMaskPairs(*held_out))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    dice = [row["validation_dice"] for row in rows if "validation_dice" in row]
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert max(dice) > 0.8
    predicted = np.stack(list(predict([load_unet(tmp_path)], held_out[0], SegmentConfig(clean=False))))
    assert mean_dice(torch.tensor(predicted), torch.tensor(held_out[1]), 1) == pytest.approx(max(dice), abs=1e-3)


def test_adapters_are_merged_into_the_network(tmp_path: Path) -> None:
    encoder = build_unet(SMALL).net.get_submodule("encoder")
    save_file(
        {key: value.contiguous() for key, value in encoder.state_dict().items()}, tmp_path / "encoder.safetensors"
    )
    cfg = SMALL.changed(strategy="lora", encoder_weights="file", lora_rank=2, steps=1, batch_size=2)
    pairs = ImageMaskPairs(*ellipses(2, seed=3))
    train.fit(tmp_path / "out", cfg, pairs, start=tmp_path / "encoder.safetensors")
    assert set(load_file(tmp_path / "out" / "model.safetensors")) == set(build_unet(SMALL).net.state_dict())


def test_the_best_validated_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = ImageMaskPairs(*ellipses(4, seed=4))
    seen, scores = [], iter([0.6, 0.8, 0.7])

    def scored(model: train.Unet, pairs: ImageMaskPairs, batch_size: int) -> float:
        seen.append({name: value.clone() for name, value in model.net.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(train, "evaluate", scored)
    train.fit(tmp_path, TINY, pairs, pairs)
    kept = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[2][name]) for name in kept)


@pytest.mark.slow
def test_the_average_of_the_weights_is_evaluated_and_kept(tmp_path: Path) -> None:
    """With a decay of 0 the average is the weights themselves; with another it is not, and training goes on alike."""
    pairs = ImageMaskPairs(*ellipses(4, seed=4))
    found = {}
    for decay in (None, 0.0, 0.99):
        folder = tmp_path / str(decay)
        folder.mkdir()
        train.fit(folder, TINY.model_copy(update={"ema_decay": decay, "steps": 4}), pairs)
        found[decay] = load_file(folder / "model.safetensors")["decoder.blocks.0.conv1.0.weight"]
    losses = [(tmp_path / str(decay) / "metrics.jsonl").read_text() for decay in found]
    assert losses[0] == losses[1] == losses[2]
    assert torch.equal(found[None], found[0.0])
    assert not torch.equal(found[None], found[0.99])


def test_three_classes_and_a_frozen_encoder(tmp_path: Path) -> None:
    images, masks = ellipses(4, seed=5)
    masks[:, 4:12, 4:12] = 2
    cfg = TINY.model_copy(update={"classes": 3, "strategy": "random_frozen_encoder", "steps": 2})
    train.fit(tmp_path, cfg, ImageMaskPairs(images, masks))
    assert load_unet(tmp_path)(torch.tensor(images)).shape == (4, 3, 64, 64)


def test_the_last_steps_see_only_real_images() -> None:
    cfg = SMALL.model_copy(update={"steps": 10, "batch_size": 4, "real_last": 0.3})
    marked = torch.tensor([False, True, True, False, True, True])
    drawn = [set(train.draw_batch(marked, cfg, number).tolist()) for number in range(10)]
    assert all(places <= {0, 3} for places in drawn[7:])
    assert set().union(*drawn[:7]) == set(range(6))
    alone = cfg.model_copy(update={"real_last": 0.9})
    everything_drawn = set(train.draw_batch(torch.ones(6, dtype=torch.bool), alone, 9).tolist())
    assert everything_drawn <= set(range(6))


def test_epochs_that_are_fewer_steps_than_the_warm_up_are_refused() -> None:
    cfg = UnetConfig(steps=100, warmup_steps=50, epochs=1)
    with pytest.raises(
        ValueError, match=r"epochs=1 over 20 images in batches of 16 are 2 steps: warmup_steps=50 leaves"
    ):
        cfg.of(20)
    assert cfg.of(1600).steps == 100
    assert UnetConfig(steps=10, warmup_steps=50, epochs=9).of(100).steps == 63


def test_epochs_take_as_many_steps_as_the_images_need(tmp_path: Path) -> None:
    cfg = SMALL.model_copy(update={"epochs": 2, "batch_size": 2})
    train.fit(tmp_path, cfg, ImageMaskPairs(*ellipses(5, seed=6)))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2 * 3
    assert load_unet(tmp_path).cfg.epochs == 2


@pytest.mark.slow
def test_synthetic_images_weigh_what_the_config_says(tmp_path: Path) -> None:
    images, masks = ellipses(4, seed=6)
    losses = []
    for weight, marks in ((1.0, None), (1.0, [True] * 4), (0.25, [True] * 4), (0.25, [True, False] * 2)):
        cfg = SMALL.model_copy(update={"steps": 1, "batch_size": 4, "synthetic_weight": weight})
        folder = tmp_path / str(len(losses))
        folder.mkdir()
        marked = None if marks is None else np.array(marks)
        train.fit(folder, cfg, ImageMaskPairs(images, masks, marked))
        losses.append(json.loads((folder / "metrics.jsonl").read_text())["loss"])
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-5)
    assert losses[3] != losses[0]


def test_side_outputs_are_trained_and_not_kept(tmp_path: Path) -> None:
    pairs = ImageMaskPairs(*ellipses(4, seed=7))
    cfg = SMALL.model_copy(update={"steps": 2, "batch_size": 2, "deep_supervision": True})
    learner = train.prepare(cfg, torch.tensor(pairs.images), None)
    assert learner.sides is not None
    before = [parameter.detach().clone() for parameter in learner.sides.parameters()]
    train.step(learner, torch.tensor(pairs.images).float(), torch.tensor(pairs.masks).long())
    assert [weight for weight, _ in learner.sides.logits(64, 64)] == [0.5, 0.25, 0.125]
    assert all(logits.shape == (4, 1, 64, 64) for _, logits in learner.sides.logits(64, 64))
    assert not any(torch.equal(a, b) for a, b in zip(before, learner.sides.parameters(), strict=True))
    train.fit(tmp_path, cfg, pairs)
    assert set(load_file(tmp_path / "model.safetensors")) == set(build_unet(SMALL).net.state_dict())


def test_bf16_and_a_constant_rate_with_warm_up_train_too(tmp_path: Path) -> None:
    changes = {
        "steps": 2,
        "batch_size": 2,
        "precision": "bf16",
        "schedule": "constant",
        "warmup_steps": 1,
        "loss": "ce",
    }
    train.fit(tmp_path, SMALL.model_copy(update=changes), ImageMaskPairs(*ellipses(4, seed=8)))
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["loss"] > 0


def test_data_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    images, masks = ellipses(4, seed=6)
    pairs = ImageMaskPairs(images, masks)
    with pytest.raises(SegmentationDataError, match=r"training: images \(4, 64, 64\) and masks \(3, 64, 64\)"):
        train.fit(tmp_path, TINY, ImageMaskPairs(images, masks[:3]))
    with pytest.raises(SegmentationDataError, match=r"both must be \(n, 96, 96\)"):
        train.fit(tmp_path, TINY.model_copy(update={"image_size_px": 96}), pairs)
    with pytest.raises(SegmentationDataError, match="n >= 2"):
        train.fit(tmp_path, TINY, ImageMaskPairs(images[:1], masks[:1]))
    with pytest.raises(SegmentationDataError, match="4 images and 3 marks"):
        train.fit(tmp_path, TINY, ImageMaskPairs(images, masks, np.zeros(3, bool)))
    with pytest.raises(SegmentationDataError, match="validation: a mask holds class 255; classes=1 allows 0 to 1"):
        train.fit(tmp_path, TINY, pairs, ImageMaskPairs(images, masks * 255))


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnetFileError, match="no U-Net"):
        load_unet(tmp_path)
    with pytest.raises(UnetFileError, match="imagenet_folded needs a file"):
        build_unet(TINY.model_copy(update={"encoder_weights": "imagenet_folded"}))
    with pytest.raises(UnetFileError, match="encoder_weights=none has no use for"):
        build_unet(TINY, tmp_path / "some.npz")
    state = build_unet(TINY).net.state_dict()
    save_unet(tmp_path, TINY.model_copy(update={"classes": 3}), state)
    with pytest.raises(UnetFileError, match="does not fit model"):
        load_unet(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(UnetFileError, match="no U-Net"):
        load_unet(tmp_path)


def test_the_seed_alone_decides_the_start() -> None:
    torch.manual_seed(1)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    first, again, other = (build_unet(TINY.model_copy(update={"seed": seed})).net.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), drawn)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["segmentation_head.0.weight"], other["segmentation_head.0.weight"])
