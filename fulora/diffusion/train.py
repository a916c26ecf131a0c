"""LoRA fine-tuning: written out, resumed exactly, clipped for real, validated on people it does not train on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from jaxtyping import Float, UInt8
from torch import Tensor

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora import LoraError, add_lora, lora_parameters
from fulora.diffusion.lora_files import FILE, save_lora
from fulora.diffusion.objective import Latents, embed, encode, noise_error, with_dropout
from fulora.progress import track
from fulora.training import (
    MetricsLog,
    batch_indices,
    generator,
    load_checkpoint,
    pick_device,
    remove_checkpoint,
    save_checkpoint,
)

VALIDATION_DRAWS = 4


@dataclass(frozen=True)
class Captioned:
    """Images encoded once, and their captions."""

    latents: Latents
    captions: Sequence[str]


def fit(
    out: Path,
    cfg: LoraConfig,
    pipe: StableDiffusionPipeline,
    images: UInt8[np.ndarray, "n h w"],
    captions: Sequence[str],
    *,
    validation: tuple[UInt8[np.ndarray, "m h w"], Sequence[str]] | None = None,
) -> None:
    """Train a LoRA and write `lora.safetensors` and `metrics.jsonl` to `out`.

    A run that was killed goes on from its last checkpoint in `out`; on a CPU it ends as an undisturbed one, bit by bit.

    Args:
        pipe: a backbone without LoRA; it is changed.
        images, captions: gray, 0 to 255; one caption each.
        validation: images of other patients and their captions, for the validation loss.

    Raises:
        LoraError: no images, not one caption an image, or a backbone that does not predict the noise.
        TrainingDivergedError: a loss is not finite any more; the last checkpoint stays.
    """
    _check(pipe, images, captions)
    add_lora(pipe, cfg)
    pipe.to(pick_device(cfg.device))
    pipe.scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    train = Captioned(encode(pipe.vae, images), captions)
    held_out = Captioned(encode(pipe.vae, validation[0]), validation[1]) if validation else None
    optimizer = _optimizer(pipe, cfg)
    log = MetricsLog(out, start := _resume(out, pipe, optimizer))
    for done in track(range(start + 1, cfg.steps + 1), "LoRA", start=start):
        loss, norm = step(pipe, cfg, optimizer, train, done)
        if done % cfg.log_every == 0 or done == cfg.steps:
            log.write(done, loss=loss.item(), grad_norm=norm.item())
        if held_out is not None and (done % cfg.validate_every == 0 or done == cfg.steps):
            log.write(done, validation_loss=evaluate(pipe, cfg, held_out))
        if done % cfg.checkpoint_every == 0:
            save_checkpoint(out, done, {"lora": _parameters(pipe), "optimizer": optimizer.state_dict()})
    save_lora(pipe, out / FILE)
    remove_checkpoint(out)


def _check(pipe: StableDiffusionPipeline, images: UInt8[np.ndarray, "n h w"], captions: Sequence[str]) -> None:
    if not len(images) or len(images) != len(captions):
        raise LoraError(f"{len(images)} images and {len(captions)} captions: every image needs one")
    kind = pipe.scheduler.config.prediction_type
    if kind != "epsilon":
        raise LoraError(
            f"the backbone's prediction_type is '{kind}', and only 'epsilon' is trained: use SD 1.x or 2.x-base"
        )


def step(
    pipe: StableDiffusionPipeline, cfg: LoraConfig, optimizer: torch.optim.Optimizer, train: Captioned, done: int
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """One update, the `done`th. Returns the loss, and the norm of the gradients before they are clipped."""
    random = generator(cfg.seed, "lora", done)
    places = batch_indices(len(train.captions), cfg.batch_size, done - 1, cfg.seed, "lora", "order")
    texts = with_dropout([train.captions[place] for place in places], cfg.caption_dropout, random)
    latents = train.latents.draw(places, random)
    loss = noise_error(pipe, latents, embed(pipe, texts), random, cfg.min_snr_gamma)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(_parameters(pipe), cfg.max_grad_norm)
    optimizer.step()
    return loss.detach(), norm


@torch.no_grad()
def evaluate(pipe: StableDiffusionPipeline, cfg: LoraConfig, held_out: Captioned) -> float:
    """Loss on held-out people over timesteps and noise that are the same at every call and for every LoRA."""
    total, count = 0.0, len(held_out.captions)
    for draw in range(VALIDATION_DRAWS):
        for places in torch.split(torch.arange(count), cfg.batch_size):
            random = generator("validation", draw, int(places[0]))
            embeddings = embed(pipe, [held_out.captions[place] for place in places])
            loss = noise_error(pipe, held_out.latents.draw(places, random), embeddings, random, cfg.min_snr_gamma)
            total += loss.item() * len(places)
    return total / (count * VALIDATION_DRAWS)


def _parameters(pipe: StableDiffusionPipeline) -> list[torch.nn.Parameter]:
    return lora_parameters(pipe.unet) + lora_parameters(pipe.text_encoder)


def _optimizer(pipe: StableDiffusionPipeline, cfg: LoraConfig) -> torch.optim.Optimizer:
    groups = [{"params": lora_parameters(pipe.unet), "lr": cfg.unet_learning_rate}]
    if lora_parameters(pipe.text_encoder):
        groups.append({"params": lora_parameters(pipe.text_encoder), "lr": cfg.text_encoder_learning_rate})
    return torch.optim.AdamW(groups, weight_decay=cfg.weight_decay, fused=True)


@torch.no_grad()
def _resume(out: Path, pipe: StableDiffusionPipeline, optimizer: torch.optim.Optimizer) -> int:
    """Put the last checkpoint into the adapters and the optimizer. Returns the steps done, 0 without a checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    state = load_checkpoint(out)
    if state is None:
        return 0
    for parameter, saved in zip(_parameters(pipe), state["lora"], strict=True):
        parameter.copy_(saved)
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
