"""What denoisers are trained on: cached latents, noise drawn by step, and the weighted error of the predicted noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline
from diffusers.training_utils import compute_snr
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fulora.diffusion.backbone import token_ids


@dataclass(frozen=True)
class Latents:
    """The autoencoder's posterior of every image: each step draws from it anew. Scaled by `scaling_factor`."""

    mean: Float[Tensor, "n c h w"]
    std: Float[Tensor, "n c h w"]

    def draw(self, places: Int[Tensor, " b"], random: torch.Generator) -> Float[Tensor, "b c h w"]:
        """One draw of the latents at `places`."""
        noise = torch.randn(self.mean[places].shape, generator=random).to(self.mean.device)
        return self.mean[places] + self.std[places] * noise


def to_tensor(images: UInt8[np.ndarray, "n h w"]) -> Float[Tensor, "n 3 h w"]:
    """Gray pictures as three equal channels from -1 to 1."""
    gray = torch.from_numpy(images).float().div(127.5).sub(1)
    return gray[:, None].expand(-1, 3, -1, -1)


@torch.no_grad()
def encode(vae: AutoencoderKL, images: UInt8[np.ndarray, "n h w"], batch_size: int = 32) -> Latents:
    """The posterior of every image, encoded once, on the autoencoder's device."""
    found = [
        vae.encode(to_tensor(images[start : start + batch_size]).to(vae.device)).latent_dist
        for start in range(0, len(images), batch_size)
    ]
    scale = vae.config.scaling_factor
    return Latents(torch.cat([x.mean for x in found]) * scale, torch.cat([x.std for x in found]) * scale)


def with_dropout(captions: Sequence[str], rate: float, random: torch.Generator) -> list[str]:
    """The captions, each left empty with probability `rate`."""
    dropped = torch.rand(len(captions), generator=random) < rate
    return ["" if drop else caption for caption, drop in zip(captions, dropped.tolist(), strict=True)]


def embed(pipe: StableDiffusionPipeline, captions: Sequence[str]) -> Float[Tensor, "n tokens width"]:
    """Text embeddings; each distinct caption is encoded once."""
    distinct = sorted(set(captions))
    states: Tensor = pipe.text_encoder(token_ids(pipe, distinct).to(pipe.text_encoder.device))[0]
    return states[[distinct.index(caption) for caption in captions]]


def noise_error(
    pipe: StableDiffusionPipeline,
    latents: Float[Tensor, "b c h w"],
    embeddings: Float[Tensor, "b tokens width"],
    random: torch.Generator,
    min_snr_gamma: float | None,
) -> Float[Tensor, ""]:
    """Mean squared error of the predicted noise (Ho et al. 2020), weighted by min(SNR, gamma) / SNR (Hang et al. 2023).

    Timesteps are stratified: one in each of b equal parts of the schedule.
    """
    scheduler: DDPMScheduler = pipe.scheduler
    count, total = len(latents), scheduler.config.num_train_timesteps
    noise = torch.randn(latents.shape, generator=random).to(latents.device)
    places = (torch.randperm(count, generator=random) + torch.rand(count, generator=random)) / count
    timesteps = (places * total).long().clamp(max=total - 1).to(latents.device)
    predicted = pipe.unet(scheduler.add_noise(latents, noise, timesteps), timesteps, embeddings).sample
    error = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
    if min_snr_gamma is not None:
        snr = compute_snr(scheduler, timesteps)
        error = error * snr.clamp(max=min_snr_gamma) / snr
    mean: Tensor = error.mean()
    return mean
