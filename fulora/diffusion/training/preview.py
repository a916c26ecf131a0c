"""Sample grids during a LoRA training, with the same seeds at every step, so that grids can be compared."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.files import SAMPLES
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import Conditioning
from fulora.diffusion.sampling.picture_grid import grid, write_marked
from fulora.diffusion.sampling.sample import Guidance, decode, denoise, start_noise, to_pixels
from fulora.diffusion.sampling.samplers import build_sampler
from fulora.diffusion.training.batches import EncodedExamples
from fulora.environment import derive_seed


@torch.no_grad()
def draw_samples(
    folder: Path,
    pipe: Pipeline,
    cfg: LoraConfig,
    embed: Callable[[Sequence[str], int], Conditioning],
    data: EncodedExamples,
    *,
    step: int,
) -> None:
    """Write `samples/step_000100.png` under `folder`: a row for each training caption, in alphabetical order.

    Pictures have the most frequent size, and are in colour if the training is on pairs, whose mask is red. The pipeline
    is not changed.

    Args:
        embed: embeddings of captions, with a clip skip.
        step: steps done, for the name.
    """
    if cfg.samples is None:
        return
    captions, size = sorted(set(data.captions)), Counter(data.sizes).most_common(1)[0][0]
    vae_device, dtype = pipe.vae.device, pipe.unet.dtype
    latent_size = (size[1] // pipe.vae_scale_factor, size[0] // pipe.vae_scale_factor)
    guidance = Guidance(cfg.samples.guidance_scale)
    rows = []
    try:
        pipe.vae.to(pipe.unet.device)
        for caption in captions:
            seeds = [derive_seed("samples", caption, place) for place in range(cfg.samples.per_caption)]
            prompt, negative = (embed([text], cfg.clip_skip).at([0] * len(seeds)) for text in (caption, ""))
            latents = denoise(
                pipe.unet,
                build_sampler(pipe.scheduler.config, "dpm++"),
                (prompt, negative),
                start_noise(pipe.unet.config.in_channels, latent_size, seeds).to(pipe.unet.device),
                guidance,
                steps=cfg.samples.steps,
                size_px=(size[1], size[0]),
                dtype=dtype,
            )
            rows.append(list(to_pixels(decode(pipe.vae, latents), gray=not cfg.mask_channel)[0].cpu().numpy()))
    finally:
        pipe.vae.to(vae_device)
    path = folder / SAMPLES / f"step_{step:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_marked(
        path, grid(rows), caption="; ".join(captions), seed="samples", generator=f"LoRA in training, step {step}"
    )
