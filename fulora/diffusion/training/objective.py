"""The training objective of denoisers: cached latents, noise and timesteps of each step, and the weighted error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from diffusers.training_utils import compute_snr
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fulora import progress
from fulora.diffusion.models.latent_scaling import scale_latents, scale_std
from fulora.training.seeded_draws import seeded_generator

ENCODED_PIXELS = 2**19
"""The most pixels that the autoencoder encodes at once (and 32 pictures at most), to bound its memory."""

STRATA = 64


@dataclass(frozen=True)
class Latents:
    """The autoencoder's posterior of every image, scaled as its config says; images may differ in size."""

    mean: Sequence[Float[Tensor, "c _ _"]]
    std: Sequence[Float[Tensor, "c _ _"]]

    def draw(self, places: Sequence[int], random: torch.Generator) -> Float[Tensor, "b c h w"]:
        """Sample the latents at `places`, which have one size."""
        mean = torch.stack([self.mean[place] for place in places])
        std = torch.stack([self.std[place] for place in places])
        return mean + std * to_device(torch.randn(mean.shape, generator=random), mean.device)

    def drawn_once(self, seed: int) -> "Latents":
        """Return latents sampled once, which every later `draw` returns unchanged."""
        drawn = [self.draw([place], seeded_generator(seed, "latents", place))[0] for place in range(len(self.mean))]
        return Latents(drawn, [torch.zeros_like(latent) for latent in drawn])


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the CPU to a device; a GPU does not wait for the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def to_tensor(images: UInt8[np.ndarray, "n h w *rgb"]) -> Float[Tensor, "n 3 h w"]:
    """Return pictures as three channels from -1 to 1; gray pictures as three equal channels."""
    values = torch.from_numpy(images).float().div(127.5).sub(1)
    return values.movedim(-1, 1) if values.dim() == 4 else values[:, None].expand(-1, 3, -1, -1)


@torch.no_grad()
def encode(vae: AutoencoderKL, images: Sequence[UInt8[np.ndarray, "_ _ ..."]]) -> Latents:
    """Return the posterior of every image, on the autoencoder's device."""
    means: dict[int, Tensor] = {}
    stds: dict[int, Tensor] = {}
    with progress.meter("encoded", unit="images", total=len(images)) as advance:
        for places in _batches([image.shape for image in images]):
            batch = np.stack([images[place] for place in places])
            posterior = vae.encode(to_tensor(batch).to(vae.device)).latent_dist
            means |= dict(zip(places, scale_latents(vae, posterior.mean), strict=True))
            stds |= dict(zip(places, scale_std(vae, posterior.std), strict=True))
            advance(len(places))
    return Latents([means[place] for place in range(len(images))], [stds[place] for place in range(len(images))])


def encoding_batch_size(pixels: int) -> int:
    """Return how many pictures of so many pixels the autoencoder encodes at once."""
    return max(1, min(32, ENCODED_PIXELS // pixels))


def _batches(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for place, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(place)
    batches = []
    for (height, width, *_), places in by_shape.items():
        size = encoding_batch_size(height * width)
        batches += [places[start : start + size] for start in range(0, len(places), size)]
    return batches


def with_dropout(captions: Sequence[str], rate: float, random: torch.Generator) -> list[str]:
    """Return the captions, each replaced by an empty one with probability `rate`."""
    dropped = torch.rand(len(captions), generator=random) < rate
    return ["" if drop else caption for caption, drop in zip(captions, dropped.tolist(), strict=True)]


def batch_timesteps(count: int, total: int, random: torch.Generator) -> Int[Tensor, " n"]:
    """Return timesteps below `total`, one in each of `count` equal parts of the schedule, in random order."""
    places = (torch.randperm(count, generator=random) + torch.rand(count, generator=random)) / count
    return (places * total).long().clamp(max=total - 1)


def stratified_timesteps(count: int, total: int, step: int, seed: int) -> Int[Tensor, " n"]:
    """Return timesteps of training step `step` (from 0); 64 consecutive ones, over steps, cover the schedule evenly."""
    draws = range(step * count, (step + 1) * count)
    orders = {
        cycle: torch.randperm(STRATA, generator=seeded_generator(seed, "strata", cycle))
        for cycle in {draw // STRATA for draw in draws}
    }
    strata = torch.stack([orders[draw // STRATA][draw % STRATA] for draw in draws])
    places = (strata + torch.rand(count, generator=seeded_generator(seed, "timesteps", step))) / STRATA
    return (places * total).long().clamp(max=total - 1)


def noise_error(
    unet: Callable[..., Any],
    scheduler: DDPMScheduler,
    latents: Float[Tensor, "b c h w"],
    noise: Float[Tensor, "b c h w"],
    timesteps: Int[Tensor, " b"],
    arguments: dict[str, Any],
    *,
    min_snr_gamma: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, " b"]:
    """Return the squared error of each image's prediction: of the noise (Ho et al. 2020), or of the
    velocity, by the scheduler's config (Salimans and Ho 2022), weighted after Hang et al. 2023.

    Args:
        arguments: of the UNet, beside latents and timesteps.
        min_snr_gamma: weighs by min(SNR, gamma) / SNR, or min(SNR, gamma) / (SNR + 1) for velocity.
        dtype: of the UNet's input; the error is fp32.
    """
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
    noisy = scheduler.add_noise(latents, noise, timesteps).to(dtype)
    predicted = unet(noisy, timesteps, **arguments).sample
    error: Tensor = (predicted.float() - target).square().mean(dim=(1, 2, 3))
    if min_snr_gamma is None:
        return error
    snr = compute_snr(scheduler, timesteps)
    weight: Tensor = snr.clamp(max=min_snr_gamma) / (snr + 1 if velocity else snr)
    return error * weight
