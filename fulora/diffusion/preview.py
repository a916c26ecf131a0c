"""Sample grids while a LoRA is trained: the same seeds at every step, so that grids can be compared."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pil

from fulora.data.manifest import Image, pixel_digest
from fulora.data.marking import png_info
from fulora.diffusion.architectures import Pipeline
from fulora.diffusion.batches import Encoded
from fulora.diffusion.conditioning import Conditioning
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.sample import build_scheduler, draw_pictures, start_noise, to_gray
from fulora.environment import derive_seed

SAMPLES = "samples"
GAP_PX = 4


@torch.no_grad()
def draw_samples(
    folder: Path,
    pipe: Pipeline,
    cfg: LoraConfig,
    embed: Callable[[Sequence[str], int], Conditioning],
    data: Encoded,
    *,
    step: int,
) -> None:
    """Write `samples/step_000100.png` under `folder`: a row for each caption trained with, in alphabetical order.

    Pictures are of the size that most images have. The pipeline is left as it was found.

    Args:
        embed: embeddings of captions, with a clip skip.
        step: steps done, for the name.
    """
    if cfg.samples is None:
        return
    captions, size = sorted(set(data.captions)), Counter(data.sizes).most_common(1)[0][0]
    trained_with, vae_device = pipe.scheduler, pipe.vae.device
    rows = []
    try:
        pipe.vae.to(pipe.unet.device)
        pipe.scheduler = build_scheduler(pipe, "dpm++")
        for caption in captions:
            seeds = [derive_seed("samples", caption, place) for place in range(cfg.samples.per_caption)]
            pictures = draw_pictures(
                pipe,
                embed([caption, ""], cfg.clip_skip),
                start_noise(pipe, size, seeds),
                steps=cfg.samples.steps,
                guidance_scale=cfg.samples.guidance_scale,
            )
            rows.append([to_gray(picture) for picture in np.nan_to_num(pictures)])
    finally:
        pipe.scheduler = trained_with
        pipe.vae.to(vae_device)
    path = folder / SAMPLES / f"step_{step:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, _grid(rows), "; ".join(captions), step)


def _grid(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    padded = [[np.pad(picture, ((0, GAP_PX), (0, GAP_PX))) for picture in row] for row in rows]
    return np.vstack([np.hstack(row) for row in padded])[:-GAP_PX, :-GAP_PX]


def _write(path: Path, pixels: np.ndarray, captions: str, step: int) -> None:
    """With the mark of a synthetic picture, like every picture that fulora draws."""
    row = Image(
        file_name=path.name, image_id=path.stem, plane="other", split="train", origin="synthetic", source="fulora",
        site="", patient="", caption=captions, seed="samples", generator=f"LoRA in training, step {step}",
        width=pixels.shape[1], height=pixels.shape[0], sha256=pixel_digest(pixels),
    )  # fmt: skip
    Pil.fromarray(pixels).save(path, pnginfo=png_info(row))
