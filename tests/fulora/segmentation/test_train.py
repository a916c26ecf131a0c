import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fulora.segmentation import train
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.loss import mean_dice
from fulora.segmentation.model import UnetFileError, build_unet, load_unet, save_unet
from fulora.segmentation.predict import predict

NARROW = UnetConfig(image_size_px=64, decoder_channels=(32, 32, 16, 16, 8), device="cpu")
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


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_learns_ellipses(tmp_path: Path) -> None:
    cfg = NARROW.model_copy(update={"steps": 30, "batch_size": 8, "evaluate_every": 10, "learning_rate": 3e-3})
    held_out = ellipses(8, seed=2)
    train.fit(tmp_path, cfg, *ellipses(24, seed=1), validation=held_out)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    dice = [row["validation_dice"] for row in rows if "validation_dice" in row]
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert max(dice) > 0.8
    predicted = predict(load_unet(tmp_path), held_out[0], 4, clean=False)
    assert mean_dice(torch.tensor(predicted), torch.tensor(held_out[1]), 1) == pytest.approx(max(dice), abs=1e-3)


def test_a_killed_run_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = ellipses(5, seed=3)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    train.fit(whole, TINY, images, masks, (images, masks))
    usual, calls = train.step, []

    def dies(*args: object) -> float:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return usual(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "step", dies)
    with pytest.raises(KeyboardInterrupt):
        train.fit(broken, TINY, images, masks, (images, masks))
    assert {path.name for path in broken.iterdir()} == {"checkpoints", "metrics.jsonl"}
    train.fit(broken, TINY, images, masks, (images, masks))
    assert len(calls) == 4 + 3  # steps 3 to 5 again, from the checkpoint after step 2
    assert files(broken) == files(whole)
    assert set(files(whole)) == {"metrics.jsonl", "model.json", "model.safetensors"}


def test_the_best_validated_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = ellipses(4, seed=4)
    seen, scores = [], iter([0.6, 0.7, 0.7])

    def scored(model: train.Unet, pairs: train.Pairs, batch_size: int) -> float:
        seen.append({name: value.clone() for name, value in model.net.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(train, "evaluate", scored)
    train.fit(tmp_path, TINY, images, masks, (images, masks))
    kept = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[2][name]) for name in kept)


def test_three_classes_and_a_frozen_encoder(tmp_path: Path) -> None:
    images, masks = ellipses(4, seed=5)
    masks[:, 4:12, 4:12] = 2
    cfg = TINY.model_copy(update={"classes": 3, "strategy": "random_frozen_encoder", "steps": 2})
    train.fit(tmp_path, cfg, images, masks)
    assert load_unet(tmp_path)(torch.tensor(images)).shape == (4, 3, 64, 64)


def test_data_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    images, masks = ellipses(4, seed=6)
    with pytest.raises(train.SegmentationDataError, match=r"training: images \(4, 64, 64\) and masks \(3, 64, 64\)"):
        train.fit(tmp_path, TINY, images, masks[:3])
    with pytest.raises(train.SegmentationDataError, match=r"both must be \(n, 96, 96\)"):
        train.fit(tmp_path, TINY.model_copy(update={"image_size_px": 96}), images, masks)
    with pytest.raises(train.SegmentationDataError, match="n >= 2"):
        train.fit(tmp_path, TINY, images[:1], masks[:1])
    with pytest.raises(
        train.SegmentationDataError, match="validation: a mask holds class 255; classes=1 allows 0 to 1"
    ):
        train.fit(tmp_path, TINY, images, masks, (images, masks * 255))


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
