"""Every training loop, killed and preempted: it resumes exactly, and refuses a checkpoint of another training."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fulora.classification import train as classification
from fulora.classification.config import ClassifierConfig
from fulora.clip import pretrain as clip_pretraining
from fulora.clip import tune
from fulora.clip.config import ClipPretrainConfig, TuneClipConfig
from fulora.clip.loading import Clip
from fulora.clip.model import build_clip, build_tokenizer, clip_config
from fulora.config import Config
from fulora.data.label_set import label_set
from fulora.diffusion.config import ControlConfig, LoraConfig, PretrainConfig, SamplesConfig
from fulora.diffusion.models.architectures import build_backbone
from fulora.diffusion.models.tokenizers import collect_words
from fulora.diffusion.training import controlnet, pretrain
from fulora.diffusion.training import train as lora
from fulora.diffusion.training.examples import Examples
from fulora.segmentation import train as segmentation
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.image_mask_pairs import ImageMaskPairs
from fulora.segmentation.model import build_unet, save_unet
from fulora.stage import PreemptedError
from fulora.training.checkpointer import Checkpointer
from fulora.training.checkpoints import CheckpointError, load_checkpoint

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 32, 32)).astype(np.uint8)
CLASSES = np.arange(10) % 5
MASKS = (IMAGES > 128).astype(np.uint8)
CAPTIONS = ["a photo of fetal brain", "a photo of fetal femur"] * 5
SHORT = {"steps": 4, "batch_size": 2, "checkpoint_every": 2, "device": "cpu"}
TINY_CLIP = {"image_size_px": 32, "width": 4, "blocks": (1, 1, 1, 1), "text_width": 16, "embed_dim": 16}
BACKBONE = PretrainConfig(
    vae_channels=(8, 8, 8),
    unet_channels=(16, 32),
    text_width=16,
    autoencoder_steps=3,
    denoiser_steps=4,
    autoencoder_batch_size=2,
    denoiser_batch_size=2,
    checkpoint_every=2,
    log_every=1,
    device="cpu",
)
LORA = LoraConfig.model_validate(
    SHORT | {"rank": 2, "alpha": 4, "unet_learning_rate": 1e-2, "log_every": 2, "validate_every": 2, "batch_size": 6}
)
EVERYTHING = {
    "dora": True,
    "flip": True,
    "ema_decay": 0.9,
    "keep": "best",
    "precision": "bf16",
    "accumulation": 2,
    "schedule": "cosine",
    "warmup_steps": 2,
    "noise_offset": 0.1,
    "min_snr_gamma": 5.0,
    "clip_skip": 2,
    "log_every": 4,
    "samples": SamplesConfig(every=4, per_caption=1, steps=1),
}
EIGHT_BIT = {"optimizer": "adamw8bit", "rank": 128}  # smaller tensors keep 32 bits
PRODIGY = {"optimizer": "prodigy", "unet_learning_rate": 1.0, "text_encoder_learning_rate": 1.0}

Stop = tuple[int, str]
Fit = Callable[[Path, Any, np.ndarray, Path], object]


TWICE: tuple[Stop, ...] = ((4, "kill"), (3, "SIGTERM"))
ONCE: tuple[Stop, ...] = ((3, "SIGTERM"),)


class Killed(Exception):
    """The process dies here."""


def fit_classifier(out: Path, cfg: ClassifierConfig, images: np.ndarray, inputs: Path) -> None:
    marks = np.arange(10) < 4
    classification.fit(out, cfg, FETAL, images, CLASSES, marks, (images[:5], CLASSES[:5]))


def fit_unet(out: Path, cfg: UnetConfig, images: np.ndarray, inputs: Path) -> None:
    start = None
    if cfg.encoder_weights == "network":
        start = inputs / "model.safetensors"
        save_unet(inputs, cfg, build_unet(cfg.changed(encoder_weights="none", strategy="all")).net.state_dict())
    pairs = ImageMaskPairs(images[:4], MASKS[:4])
    segmentation.fit(out, cfg, pairs, pairs, start)


def fit_tuned_clip(out: Path, cfg: TuneClipConfig, images: np.ndarray, inputs: Path) -> None:
    tiny = ClipPretrainConfig.model_validate(TINY_CLIP)
    clip = Clip(build_clip(tiny).eval(), build_tokenizer(tiny), clip_config(tiny))
    train = tune.TuningImages(images, CLASSES)
    tune.fit(out, cfg, FETAL, clip, train, CLASSES < 2, tune.TuningImages(images[:5], CLASSES[:5]))


def fit_clip(out: Path, cfg: ClipPretrainConfig, images: np.ndarray, inputs: Path) -> None:
    clip_pretraining.fit(out, cfg, FETAL, images, CLASSES)


def fit_backbone(out: Path, cfg: PretrainConfig, images: np.ndarray, inputs: Path) -> None:
    pretrain.fit(out, cfg, images, CAPTIONS, collect_words(CAPTIONS))


def fit_control(out: Path, cfg: ControlConfig, images: np.ndarray, inputs: Path) -> None:
    pipe = build_backbone(BACKBONE, 32, inputs, collect_words(CAPTIONS))
    controlnet.fit(out, cfg, pipe, images, MASKS, CAPTIONS)


def fit_lora(out: Path, cfg: LoraConfig, images: np.ndarray, inputs: Path) -> None:
    pipe = build_backbone(BACKBONE, 32, inputs, collect_words(CAPTIONS))
    train, held_out = Examples(list(images[1:4]), CAPTIONS[1:4]), Examples(list(images[:1]), CAPTIONS[:1])
    lora.fit(out, cfg, pipe, train, validation=held_out)


@dataclass(frozen=True)
class Loop:
    """A training loop with a config, how it is interrupted, and what it writes."""

    fit: Fit
    cfg: Config
    files: tuple[str, ...]
    stops: tuple[Stop, ...] = TWICE


def classifier(stops: tuple[Stop, ...] = TWICE, **changes: object) -> Loop:
    base = SHORT | {"architecture": "mobilenet_v2", "image_size_px": 32, "stem": "imagenet", "evaluate_every": 2}
    files = ("label_set.json", "metrics.jsonl", "model.json", "model.safetensors")
    return Loop(fit_classifier, ClassifierConfig.model_validate(base | changes), files, stops)


def unet(stops: tuple[Stop, ...] = ONCE, **changes: object) -> Loop:
    base = SHORT | {"encoder": "tu-mobilenetv3_small_050", "decoder_channels": (8,) * 5, "evaluate_every": 2}
    files = ("metrics.jsonl", "model.json", "model.safetensors")
    return Loop(fit_unet, UnetConfig.model_validate(base | changes), files, stops)


def tuned_clip(method: str, stops: tuple[Stop, ...] = ONCE) -> Loop:
    base = SHORT | {"learning_rate": 1e-2, "warmup_steps": 1, "evaluate_every": 2, "method": method}
    files = ("label_set.json", "metrics.jsonl", "open_clip_config.json", "open_clip_model.safetensors")
    return Loop(fit_tuned_clip, TuneClipConfig.model_validate(base), files, stops)


LOOPS = {
    "classifier, adamw and dropout": classifier(),
    "classifier, sgd": classifier(ONCE, architecture="timm/mobilenetv3_small_050", optimizer="sgd", balanced=False),
    "U-Net": unet(TWICE),
    "U-Net, gradual": unet(strategy="gradual"),
    "U-Net, lora": unet(strategy="lora", encoder_weights="network", lora_rank=2),
    "U-Net, average and side outputs": unet(ema_decay=0.9, deep_supervision=True, augmentation="strong"),
    "tuned CLIP, ce": tuned_clip("ce", TWICE),
    "tuned CLIP, flyp": tuned_clip("flyp"),
    "tuned CLIP, lora": tuned_clip("lora"),
    "CLIP": Loop(
        fit_clip,
        ClipPretrainConfig.model_validate(SHORT | TINY_CLIP | {"log_every": 1, "warmup_steps": 2}),
        ("metrics.jsonl", "open_clip_config.json", "open_clip_model.safetensors"),
    ),
    "backbone": Loop(
        fit_backbone,
        BACKBONE,
        (),
        ((3, "SIGTERM"), (4, "kill"), (5, "SIGTERM"), (7, "kill")),
    ),
    "ControlNet": Loop(
        fit_control,
        ControlConfig.model_validate(SHORT | {"log_every": 1}),
        ("config.json", "diffusion_pytorch_model.safetensors", "metrics.jsonl"),
    ),
    "LoRA": Loop(fit_lora, LORA, ("lora.safetensors", "metrics.jsonl")),
    "LoRA, everything": Loop(fit_lora, LoraConfig.model_validate(LORA.model_dump() | EVERYTHING), (), ONCE),
    "LoRA, prodigy": Loop(fit_lora, LoraConfig.model_validate(LORA.model_dump() | PRODIGY), (), ONCE),
    "LoRA, adamw8bit": Loop(fit_lora, LoraConfig.model_validate(LORA.model_dump() | EIGHT_BIT), (), ONCE),
}


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> dict[int, bytes]:
    """The complete state of the training after each step, of the latest run."""
    found: dict[int, bytes] = {}
    usual = Checkpointer.after_step

    def after_step(self: Checkpointer, done: int) -> None:
        usual(self, done)
        found[done] = flattened({name: part.state_dict() for name, part in self.parts.items()})

    monkeypatch.setattr(Checkpointer, "after_step", after_step)
    return found


def flattened(state: object) -> bytes:
    if isinstance(state, torch.Tensor):
        return state.contiguous().flatten().view(torch.uint8).numpy().tobytes() if state.numel() else b""
    if isinstance(state, dict):
        return b"".join(str(key).encode() + flattened(value) for key, value in state.items())
    if isinstance(state, list | tuple):
        return b"".join(flattened(value) for value in state)
    return repr(state).encode()


def interrupt(monkeypatch: pytest.MonkeyPatch, stop: Stop) -> None:
    step, how = stop
    usual = Checkpointer.after_step

    def after_step(self: Checkpointer, done: int) -> None:
        if done == step and how == "kill":
            raise Killed
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)
        usual(self, done)

    monkeypatch.setattr(Checkpointer, "after_step", after_step)


def run_until(loop: Loop, out: Path, inputs: Path, stop: Stop, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, stop)
        loop.fit(out, loop.cfg, IMAGES, inputs)


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS.keys())
def test_an_interrupted_training_ends_as_an_uninterrupted_one_and_refuses_others(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states: dict[int, bytes]
) -> None:
    if "optimizer" in type(loop.cfg).model_fields and loop.cfg.optimizer == "adamw8bit":
        pytest.importorskip("bitsandbytes")
    for name in ("straight", "resumed", "inputs"):
        (tmp_path / name).mkdir()
    out, inputs, handler = tmp_path / "resumed", tmp_path / "inputs", signal.getsignal(signal.SIGTERM)
    loop.fit(tmp_path / "straight", loop.cfg, IMAGES, inputs)
    last = max(states)
    expected = states.pop(last)
    for number, stop in enumerate(loop.stops):
        torch.manual_seed(number)  # a new process has another random state
        if stop[1] == "kill":
            with pytest.raises(Killed):
                run_until(loop, out, inputs, stop, monkeypatch)
        else:
            with pytest.raises(PreemptedError, match=f"stopped after step {stop[0]} of .*a checkpoint is in {out}"):
                run_until(loop, out, inputs, stop, monkeypatch)
            checkpoint = load_checkpoint(out)
            assert checkpoint is not None
            assert checkpoint["step"] == stop[0]
        assert signal.getsignal(signal.SIGTERM) is handler
    before = contents(out)
    for cfg, images in ((loop.cfg.changed(seed=7), IMAGES), (loop.cfg, 255 - IMAGES)) if len(loop.stops) > 1 else ():
        with pytest.raises(CheckpointError, match=r"is of another training .*remove this one's checkpoints/"):
            loop.fit(out, cfg, images, inputs)
    assert contents(out) == before
    loop.fit(out, loop.cfg, IMAGES, inputs)
    assert contents(out) == contents(tmp_path / "straight")
    assert states[last] == expected
    assert not loop.files or set(contents(out)) == set(loop.files)
