"""Pre-training of a small Stable Diffusion: first the autoencoder, then UNet and text encoder on its cached latents.

Both loops resume exactly: every draw comes from (seed, step), and one checkpoint holds all the rest. Steps are counted
over both, in the checkpoint and in `metrics.jsonl`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from fulora.data.pictures.image_and_mask import add_random_ellipses
from fulora.diffusion.config import PretrainConfig
from fulora.diffusion.models.architectures import build_backbone
from fulora.diffusion.models.conditioning import embed, unet_arguments
from fulora.diffusion.models.loading import BackboneError, save_backbone
from fulora.diffusion.training.objective import Latents, batch_timesteps, encode, noise_error, to_tensor, with_dropout
from fulora.environment import derive_seed
from fulora.progress import track
from fulora.training.averages import Average, put
from fulora.training.checkpoints import load_checkpoint, remove_checkpoint, save_checkpoint
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog
from fulora.training.seeded_draws import batch_indices, generator

KL_WEIGHT = 1e-6
TEXTURE_WEIGHT = 1.0


@dataclass(frozen=True)
class Learner:
    """What one loop changes: a module, its optimizer, and the moving average of its weights, which is what is kept."""

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: Average

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """The module's parameters, in the order of the average."""
        return list(self.module.parameters())


def fit(
    out: Path,
    cfg: PretrainConfig,
    images: UInt8[np.ndarray, "n h w"],
    captions: Sequence[str],
    words: Sequence[str],
) -> None:
    """Train a backbone and write it to `out` as a diffusers folder in fp16, with `metrics.jsonl`.

    A run that was killed goes on from its last checkpoint in `out`; on a CPU its result is the undisturbed one's, bit
    for bit.

    Args:
        images: gray, 0 to 255, square; the size is the backbone's.
        captions: of every image.
        words: what the tokenizer knows as one token each, such as `tokenizers.words_of` the captions.

    Raises:
        BackboneError: no images, not one caption an image, or a size that the UNet cannot halve as often as it must.
        TrainingDivergedError: a loss is not finite any more.
    """
    _check(cfg, images, captions)
    out.mkdir(parents=True, exist_ok=True)
    pipe = build_backbone(cfg, images.shape[1], out, words).to(pick_device(cfg.device))
    state = load_checkpoint(out) or {"step": 0}
    log = MetricsLog(out, state["step"])
    if "autoencoder" in state:  # finished
        pipe.vae.load_state_dict(state["autoencoder"])
    else:
        fit_autoencoder(out, cfg, log, pipe.vae, images, state)
        state = {"step": cfg.autoencoder_steps, "autoencoder": pipe.vae.state_dict()}
        save_checkpoint(out, cfg.autoencoder_steps, {"autoencoder": state["autoencoder"]})
    fit_denoiser(out, cfg, log, pipe, unit_latents(pipe.vae, images), captions, state)
    save_backbone(pipe, out, half=True)
    remove_checkpoint(out)


def _check(cfg: PretrainConfig, images: UInt8[np.ndarray, "n h w"], captions: Sequence[str]) -> None:
    if not len(images) or len(images) != len(captions):
        raise BackboneError(f"{len(images)} images and {len(captions)} captions: every image needs one")
    unit = cfg.latent_downsampling * 2 ** (len(cfg.unet_channels) - 1)
    if images.shape[1] != images.shape[2] or images.shape[1] % unit:
        raise BackboneError(f"images of {images.shape[1]} x {images.shape[2]} px: square ones, a multiple of {unit} px")


def fit_autoencoder(
    out: Path,
    cfg: PretrainConfig,
    log: MetricsLog,
    vae: AutoencoderKL,
    images: UInt8[np.ndarray, "n h w"],
    state: dict[str, Any],
) -> None:
    """Train the autoencoder; the moving average of its weights is kept."""
    steps = cfg.autoencoder_steps
    learner, start = _learner(vae.train(), cfg.autoencoder_learning_rate, cfg.ema_decay), int(state["step"])
    if start:
        _restore(learner, state)
    for done in track(range(start + 1, steps + 1), "autoencoder", start=start):
        set_rate(learner.optimizer, cosine_rate(done - 1, steps, warmup=cfg.warmup_steps))
        places = batch_indices(len(images), cfg.autoencoder_batch_size, done - 1, cfg.seed, "autoencoder")
        shown = images[places.numpy()]
        if cfg.mask_channel:
            shown = add_random_ellipses(shown, derive_seed(cfg.seed, "ellipses", done))
        batch = to_tensor(shown).to(vae.device)
        loss, error = reconstruction_error(vae, batch, generator(cfg.seed, "posterior", done))
        step(learner, loss, done)
        if done % cfg.log_every == 0 or done == steps:
            log.write(done, autoencoder_loss=loss.item(), autoencoder_l1=error.item())
        if done % cfg.checkpoint_every == 0:
            save_checkpoint(out, done, _state(learner))
    put(learner.parameters, learner.average.values)
    vae.eval()


def reconstruction_error(
    vae: AutoencoderKL, batch: Float[Tensor, "b 3 h w"], random: torch.Generator
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The autoencoder's loss, and the mean absolute error of the pixels alone (pixels are -1 to 1).

    Loss: that error, the error of the texture's local strength, and a small KL divergence to the unit normal. Speckle
    cannot be stored pixel by pixel in the latents; the error of pixels alone would smooth it away.
    """
    posterior = vae.encode(batch).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=random).to(batch.device)
    decoded = vae.decode(posterior.mean + posterior.std * noise).sample
    error = (decoded - batch).abs().mean()
    texture = (texture_strength(decoded) - texture_strength(batch)).abs().mean()
    return error + TEXTURE_WEIGHT * texture + KL_WEIGHT * posterior.kl().mean(), error.detach()


def texture_strength(pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2*c h2 w2"]:
    """Mean absolute difference of neighbouring pixels, across and down, in overlapping 8 x 8 windows."""
    across = pictures.diff(dim=3)[:, :, :-1].abs()
    down = pictures.diff(dim=2)[:, :, :, :-1].abs()
    return F.avg_pool2d(torch.cat([across, down], dim=1), 8, stride=4)


def unit_latents(vae: AutoencoderKL, images: UInt8[np.ndarray, "n h w"]) -> Latents:
    """Every image encoded once; sets the autoencoder's `scaling_factor`, which gives latents of unit variance."""
    vae.register_to_config(scaling_factor=1.0)
    raw = encode(vae, list(images))
    scale = round(1 / float(torch.stack(list(raw.mean)).std()), 4)
    vae.register_to_config(scaling_factor=scale)
    return Latents([mean * scale for mean in raw.mean], [std * scale for std in raw.std])


def fit_denoiser(
    out: Path,
    cfg: PretrainConfig,
    log: MetricsLog,
    pipe: StableDiffusionPipeline,
    latents: Latents,
    captions: Sequence[str],
    state: dict[str, Any],
) -> None:
    """Train UNet and text encoder together on the autoencoder's latents; their moving average is kept."""
    before, steps = cfg.autoencoder_steps, cfg.denoiser_steps
    both = torch.nn.ModuleList([pipe.unet, pipe.text_encoder]).train()
    learner = _learner(both, cfg.denoiser_learning_rate, cfg.ema_decay)
    start = int(state["step"]) - before
    if start:
        _restore(learner, state)
    for done in track(range(start + 1, steps + 1), "denoiser", start=start):
        set_rate(learner.optimizer, cosine_rate(done - 1, steps, warmup=cfg.warmup_steps))
        random = generator(cfg.seed, "denoiser", done)
        places = batch_indices(len(captions), cfg.denoiser_batch_size, done - 1, cfg.seed, "denoiser")
        texts = with_dropout([captions[place] for place in places], cfg.caption_dropout, random)
        loss = denoising_error(pipe, latents.draw(places.tolist(), random), texts, random, cfg.min_snr_gamma)
        step(learner, loss, done)
        if done % cfg.log_every == 0 or done == steps:
            log.write(before + done, denoiser_loss=loss.item())
        if done % cfg.checkpoint_every == 0:
            save_checkpoint(out, before + done, _state(learner) | {"autoencoder": pipe.vae.state_dict()})
    put(learner.parameters, learner.average.values)
    both.eval()


def denoising_error(
    pipe: StableDiffusionPipeline,
    latents: Float[Tensor, "b c h w"],
    captions: Sequence[str],
    random: torch.Generator,
    min_snr_gamma: float | None,
) -> Float[Tensor, ""]:
    """The denoiser's loss on a batch; its timesteps are one in each of b equal parts of the schedule."""
    noise = torch.randn(latents.shape, generator=random).to(latents.device)
    total = pipe.scheduler.config.num_train_timesteps
    timesteps = batch_timesteps(len(latents), total, random).to(latents.device)
    side = latents.shape[-1] * pipe.vae_scale_factor
    arguments = unet_arguments(embed(pipe, captions), (side, side))
    error = noise_error(pipe.unet, pipe.scheduler, latents, noise, timesteps, arguments, min_snr_gamma=min_snr_gamma)
    return error.mean()


def step(learner: Learner, loss: Float[Tensor, ""], done: int) -> None:
    """One update of the weights and of their average; `done` steps are done with it."""
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(learner.parameters, 1.0)
    learner.optimizer.step()
    learner.average.update(learner.parameters, done)


def _learner(module: torch.nn.Module, rate: float, decay: float) -> Learner:
    parameters = list(module.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": parameters, "base_lr": rate}], lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    return Learner(module, optimizer, Average(parameters, decay))


def _state(learner: Learner) -> dict[str, Any]:
    return {
        "module": learner.module.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "average": learner.average.values,
    }


def _restore(learner: Learner, state: dict[str, Any]) -> None:
    learner.module.load_state_dict(state["module"])
    learner.optimizer.load_state_dict(state["optimizer"])
    put(learner.average.values, state["average"])
