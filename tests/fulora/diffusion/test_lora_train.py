import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import UInt8

from fulora.diffusion import train
from fulora.diffusion.backbone import load_backbone
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora import LoraError, add_lora, lora_parameters
from fulora.diffusion.objective import encode
from fulora.training import TrainingDivergedError

Images = UInt8[np.ndarray, "10 32 32"]
FILES = ["lora.safetensors", "metrics.jsonl"]
CONFIG = LoraConfig(
    rank=2,
    alpha=4,
    steps=6,
    batch_size=3,
    unet_learning_rate=1e-2,
    text_encoder_learning_rate=5e-3,
    log_every=1,
    validate_every=3,
    checkpoint_every=2,
    device="cpu",
)


class Killed(Exception):
    """The process dies here."""


def logged(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def run(out: Path, backbone: Path, images: Images, captions: Sequence[str], cfg: LoraConfig = CONFIG) -> None:
    held_out = (images[:4], captions[:4])
    train.fit(out, cfg, load_backbone(backbone), images[4:], captions[4:], validation=held_out)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, backbone: Path, images: Images, captions: Sequence[str]
) -> Path:
    out = tmp_path_factory.mktemp("lora")
    run(out, backbone, images, captions)
    return out


@pytest.mark.parametrize("dies_at", [2, 3, 6])
def test_a_killed_run_ends_as_if_it_had_not_been(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: Path,
    backbone: Path,
    images: Images,
    captions: Sequence[str],
    dies_at: int,
) -> None:
    step = train.step

    def dying(*arguments: object) -> object:
        if arguments[-1] == dies_at:
            raise Killed
        return step(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(train, "step", dying)
        with pytest.raises(Killed):
            run(tmp_path, backbone, images, captions)
    torch.manual_seed(99)  # whatever the state of the new process
    run(tmp_path, backbone, images, captions)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_checkpoints_do_not_change_the_result(
    tmp_path: Path, undisturbed: Path, backbone: Path, images: Images, captions: Sequence[str]
) -> None:
    run(tmp_path, backbone, images, captions, CONFIG.model_copy(update={"checkpoint_every": 100}))
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


def test_loss_gradient_norm_and_validation_loss_are_logged(undisturbed: Path) -> None:
    lines = logged(undisturbed)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert all(line["grad_norm"] > 0 for line in lines if "loss" in line)
    assert [line["step"] for line in lines if "validation_loss" in line] == [3, 6]


def test_the_validation_loss_is_the_same_at_every_call(backbone: Path, images: Images, captions: Sequence[str]) -> None:
    pipe = load_backbone(backbone)
    held_out = train.Captioned(encode(pipe.vae, images), captions)
    first = train.evaluate(pipe, CONFIG, held_out)
    torch.manual_seed(3)
    assert train.evaluate(pipe, CONFIG, held_out) == first


def test_clipping_clips(backbone: Path, images: Images, captions: Sequence[str]) -> None:
    """With plain gradient descent of rate 1 the weights move by exactly the clipped gradient."""
    pipe = load_backbone(backbone)
    cfg = CONFIG.model_copy(update={"max_grad_norm": 1e-3})
    add_lora(pipe, cfg)
    parameters = lora_parameters(pipe.unet) + lora_parameters(pipe.text_encoder)
    before = [parameter.detach().clone() for parameter in parameters]
    captioned = train.Captioned(encode(pipe.vae, images), captions)
    _, norm = train.step(pipe, cfg, torch.optim.SGD(parameters, lr=1.0), captioned, 1)
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(parameters, before, strict=True)]).norm()
    assert float(norm) > 2e-3
    assert float(moved) == pytest.approx(1e-3, rel=1e-2)


def test_both_parts_learn_or_the_unet_alone(
    tmp_path: Path, backbone: Path, images: Images, captions: Sequence[str]
) -> None:
    for rate in (0.0, 1e-3):
        pipe = load_backbone(backbone)
        cfg = CONFIG.model_copy(update={"text_encoder_learning_rate": rate, "min_snr_gamma": 5.0})
        train.fit(tmp_path / str(rate), cfg, pipe, images, captions)
        ups = [p for n, p in pipe.unet.named_parameters() if "lora_B" in n]
        text_ups = [p for n, p in pipe.text_encoder.named_parameters() if "lora_B" in n]
        assert all(up.any() for up in ups)
        assert bool(text_ups) == (rate > 0)
        assert all(up.any() for up in text_ups)
        assert not any("validation_loss" in line for line in logged(tmp_path / str(rate)))


def test_a_lora_learns_its_images(tmp_path: Path, backbone: Path, captions: Sequence[str]) -> None:
    same = np.repeat(np.random.default_rng(1).integers(0, 256, (1, 32, 32)).astype(np.uint8), 10, axis=0)
    cfg = CONFIG.model_copy(update={"steps": 24, "validate_every": 12, "batch_size": 8, "rank": 8, "alpha": 8.0})
    train.fit(tmp_path, cfg, load_backbone(backbone), same, captions, validation=(same, captions))
    losses = [line["validation_loss"] for line in logged(tmp_path) if "validation_loss" in line]
    assert losses[-1] < losses[0]


def test_a_run_that_diverges_stops(tmp_path: Path, backbone: Path, images: Images, captions: Sequence[str]) -> None:
    with pytest.raises(TrainingDivergedError, match="lower the learning rate"):
        run(tmp_path, backbone, images, captions, CONFIG.model_copy(update={"unet_learning_rate": 1e30}))


def test_images_without_captions_are_refused(
    tmp_path: Path, backbone: Path, images: Images, captions: Sequence[str]
) -> None:
    with pytest.raises(LoraError, match="10 images and 3 captions"):
        train.fit(tmp_path, CONFIG, load_backbone(backbone), images, captions[:3])


def test_a_backbone_that_predicts_velocity_is_refused(
    tmp_path: Path, backbone: Path, images: Images, captions: Sequence[str]
) -> None:
    pipe = load_backbone(backbone)
    pipe.scheduler.register_to_config(prediction_type="v_prediction")
    with pytest.raises(LoraError, match="only 'epsilon' is trained"):
        train.fit(tmp_path, CONFIG, pipe, images, captions)
