"""Sampling: from the noise of each image, by the denoiser and a sampler, to pixels.

The loop replaces that of diffusers' pipelines, which have no guidance interval; a test ensures equal latents.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from fulora.data.column_types import Plane
from fulora.diffusion.models.compiling import UNet
from fulora.diffusion.models.conditioning import Conditioning, unet_arguments
from fulora.diffusion.models.latent_scaling import scale_latents, unscale_latents
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.diffusion.sampling.samplers import as_numpy_2
from fulora.environment import derive_seed

DECODED_LATENTS = 8 * 64 * 64
"""Latent pixels decoded at once, eight images of 512 px: the autoencoder needs more memory than the denoiser."""


def image_seed(cfg: GenerateConfig, plane: Plane, index: int, attempt: int = 0) -> int:
    """Return the seed of image `index` of a class: blake2b of the set's seed, the class, the index and the attempt.

    Args:
        attempt: the number of images that were rejected before.
    """
    return derive_seed("generate", cfg.seed, plane, index, *([attempt] if attempt else []))


def start_noise(channels: int, latent_size: tuple[int, int], seeds: Sequence[int]) -> Float[Tensor, "b c h w"]:
    """Return the initial noise of images, on the CPU, each from a random generator of its own.

    Args:
        latent_size: height and width in latent pixels.
    """
    shape = (channels, *latent_size)
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance: `negative + scale * (prompt - negative)` (Ho and Salimans 2022).

    Attributes:
        scale: 1 is none.
        interval: from which share of the steps to which; outside, the prompt alone is used.
    """

    scale: float
    interval: tuple[float, float] = (0.0, 1.0)

    def is_active(self, step: int, steps: int) -> bool:
        """Return whether step `step`, counted from 0, of `steps` is guided."""
        first, last = self.interval
        return self.scale > 1 and first <= step / steps < last


@torch.no_grad()
def denoise(
    unet: UNet,
    sampler: Any,
    texts: tuple[Conditioning, Conditioning],
    noise: Float[Tensor, "b c h w"],
    guidance: Guidance,
    *,
    steps: int,
    size_px: tuple[int, int],
    dtype: torch.dtype,
    start: Float[Tensor, "b c h w"] | None = None,
    start_strength: float = 1.0,
) -> Float[Tensor, "b c h w"]:
    """Return the latents of images. They are kept in fp32 between steps, whatever the denoiser's precision.

    Args:
        sampler: a new one.
        texts: of the prompt and of the negative prompt, one for each image.
        size_px: height and width of the images.
        dtype: of the denoiser.
        start: latents of images to start from; then only the last `start_strength` of the steps are done.
    """
    prompt, both = texts[0].to(dtype), texts[1].followed_by(texts[0]).to(dtype)
    with as_numpy_2():
        sampler.set_timesteps(steps, device=noise.device)
    first = 0 if start is None else steps - min(int(steps * start_strength), steps)
    sampler.set_begin_index(first) if hasattr(sampler, "set_begin_index") else None
    times = sampler.timesteps[first:]
    if start is None:
        latents = noise * sampler.init_noise_sigma
    else:
        latents = sampler.add_noise(start, noise, times[:1].repeat(len(noise)))
    for step, time in enumerate(times, first):
        noisy = sampler.scale_model_input(latents, time).to(dtype)
        if guidance.is_active(step, steps):
            twice = unet(torch.cat([noisy, noisy]), time, **unet_arguments(both, size_px)).sample
            without, with_prompt = twice.float().chunk(2)
            predicted = without + guidance.scale * (with_prompt - without)
        else:
            predicted = unet(noisy, time, **unet_arguments(prompt, size_px)).sample.float()
        latents = sampler.step(predicted, time, latents).prev_sample
    result: Tensor = latents
    return result


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 h2 w2"]:
    """Decode latents to values from 0 to 1, in fp32: a few images at once, in the autoencoder's own precision.

    The parts have equal sizes, filled up with the last image: another size would change the last digits.
    """
    scaled_back = unscale_latents(vae, latents).to(vae.dtype)
    at_once = max(1, DECODED_LATENTS // (latents.shape[-2] * latents.shape[-1]))
    parts = math.ceil(len(scaled_back) / at_once)
    size = math.ceil(len(scaled_back) / parts)
    filled = torch.cat([scaled_back, scaled_back[-1:].expand(parts * size - len(scaled_back), -1, -1, -1)])
    with torch.autocast(latents.device.type, enabled=False):
        decoded = torch.cat([vae.decode(part).sample.float() for part in filled.chunk(parts)])[: len(latents)]
    return (decoded / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: UInt8[Tensor, "b h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Encode gray images: the means of the autoencoder's distributions."""
    values = (pictures.float() / 127.5 - 1)[:, None].expand(-1, 3, -1, -1)
    latents: Tensor = vae.encode(values.to(vae.device, vae.dtype)).latent_dist.mean.float()
    return scale_latents(vae, latents)


def to_pixels(
    pictures: Float[Tensor, "b 3 h w"], *, gray: bool
) -> tuple[UInt8[Tensor, "b h w *rgb"], Bool[Tensor, " b"]]:
    """Convert values from 0 to 1 to pixels, and return which images are finite; values that are not become 0.

    Args:
        gray: the mean of the three channels.
    """
    finite = pictures.isfinite().flatten(1).all(dim=1)
    values = pictures.mean(dim=1) if gray else pictures.permute(0, 2, 3, 1)
    return (values.nan_to_num() * 255).round().to(torch.uint8), finite
