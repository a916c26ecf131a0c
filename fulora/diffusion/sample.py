"""Sampling: one seed an image, one compute shape, so that an image does not depend on what it was made beside."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from jaxtyping import Float, UInt8
from torch import Tensor

from fulora.data.labels import Plane
from fulora.data.manifest import is_blank
from fulora.diffusion.architectures import Pipeline
from fulora.diffusion.backbone import quiet
from fulora.diffusion.conditioning import Conditioning, embed
from fulora.diffusion.config import GenerateConfig, Sampler
from fulora.environment import derive_seed
from fulora.training import pick_device


class BlankImageError(RuntimeError):
    """The backbone drew a picture without content."""


def image_seed(cfg: GenerateConfig, plane: Plane, index: int) -> int:
    """The seed of image `index` of a plane: of its set's seed, the plane and the index alone."""
    return derive_seed("generate", cfg.seed, plane, index)


@torch.no_grad()
def sample(
    pipe: Pipeline, cfg: GenerateConfig, plane: Plane, indices: Sequence[int]
) -> Iterator[tuple[int, int, UInt8[np.ndarray, "h w"]]]:
    """Draw images of one plane.

    Args:
        pipe: the backbone, with a LoRA fused or without; its scheduler is replaced.
        indices: which images of the set; any subset, in any order, gives the same pictures.

    Yields:
        index, seed, gray picture.

    Raises:
        BlankImageError: a picture is constant or not a number; says which.
    """
    pipe.to(pick_device(cfg.device))
    pipe.scheduler = build_scheduler(pipe, cfg.sampler)
    texts = embed(pipe, [cfg.prompts[plane], cfg.negative_prompt], cfg.clip_skip)
    for start in range(0, len(indices), cfg.batch_size):
        numbers = list(indices[start : start + cfg.batch_size])
        padded = numbers + [numbers[-1]] * (cfg.batch_size - len(numbers))
        seeds = [image_seed(cfg, plane, number) for number in padded]
        noise = start_noise(pipe, (cfg.image_size_px, cfg.image_size_px), seeds)
        pictures = draw_pictures(pipe, texts, noise, steps=cfg.steps, guidance_scale=cfg.guidance_scale)
        for number, seed, picture in zip(numbers, seeds, pictures, strict=False):
            if not np.isfinite(picture).all() or is_blank(to_gray(picture)):
                raise BlankImageError(
                    f"{plane} {number} (seed {seed}) is blank: the backbone or the LoRA is broken, or untrained"
                )
            yield number, seed, to_gray(picture)


def to_gray(picture: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """0 to 255 of a picture from 0 to 1: the mean of its channels, so that no tint tells synthetic from real."""
    gray: UInt8[np.ndarray, "h w"] = np.round(picture.mean(axis=2) * 255).astype(np.uint8)
    return gray


@torch.no_grad()
def draw_pictures(
    pipe: Pipeline,
    texts: Conditioning,
    noise: Float[Tensor, "b c h w"],
    *,
    steps: int,
    guidance_scale: float,
) -> Float[np.ndarray, "b h2 w2 3"]:
    """Pictures from 0 to 1, by the pipeline's own sampler; the autoencoder decodes in its own precision.

    Args:
        texts: of the prompt and of the negative prompt.
        noise: what every picture starts from.
    """
    prompt, negative = (texts.at([place] * len(noise)) for place in (0, 1))
    pooled = {"pooled_prompt_embeds": prompt.pooled, "negative_pooled_prompt_embeds": negative.pooled}
    with warnings.catch_warnings():  # diffusers' samplers turn tensors into arrays the way numpy 1 did
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        latents = pipe(
            prompt_embeds=prompt.states,
            negative_prompt_embeds=negative.states,
            latents=noise.to(prompt.states),
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            height=noise.shape[-2] * pipe.vae_scale_factor,
            width=noise.shape[-1] * pipe.vae_scale_factor,
            output_type="latent",
            **(pooled if prompt.pooled is not None else {}),
        ).images
    with torch.autocast(noise.device.type, enabled=False):
        decoded = pipe.vae.decode(latents.to(pipe.vae.dtype) / pipe.vae.config.scaling_factor).sample
    pictures: Float[np.ndarray, "b h2 w2 3"] = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()
    return pictures


def start_noise(pipe: Pipeline, size: tuple[int, int], seeds: Sequence[int]) -> Float[Tensor, "b c h w"]:
    """What every picture of `size` (width, height) px starts from: drawn on the CPU, by its own generator."""
    width, height = (side // pipe.vae_scale_factor for side in size)
    shape = (pipe.unet.config.in_channels, height, width)
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(noise).to(pipe.unet.device)


def build_scheduler(pipe: Pipeline, sampler: Sampler) -> object:
    """A deterministic sampler for the noise schedule of the pipeline.

    Its timesteps end at the noisiest one ("trailing"), where pictures start: other spacings leave it out, and give
    every picture the same medium brightness (Lin et al. 2024, arXiv 2305.08891).
    """
    known, spacing = pipe.scheduler.config, "trailing"
    with quiet():
        match sampler:
            case "dpm++":
                return DPMSolverMultistepScheduler.from_config(
                    known, timestep_spacing=spacing, algorithm_type="dpmsolver++"
                )
            case "unipc":
                return UniPCMultistepScheduler.from_config(known, timestep_spacing=spacing)
            case "euler":
                return EulerDiscreteScheduler.from_config(known, timestep_spacing=spacing)
            case "ddim":
                return DDIMScheduler.from_config(known, timestep_spacing=spacing)
