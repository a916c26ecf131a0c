"""Batches of a LoRA training, which depend only on the seed and the step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.training.buckets import Bucket, Size, bucket_of, draw_places, fit_to_bucket
from fulora.diffusion.training.examples import Examples
from fulora.diffusion.training.objective import Latents, encode, stratified_timesteps, to_device, with_dropout
from fulora.environment import derive_seed
from fulora.training.seeded_draws import seeded_generator

GRID_IMAGES = 32
GRID_TIMESTEPS = 6


@dataclass(frozen=True)
class EncodedExamples:
    """Examples encoded by the autoencoder.

    Attributes:
        latents: latents of every picture, followed by those of the mirror images if images are flipped.
        sizes: width and height of every picture in pixels, as trained on.
    """

    latents: Latents
    captions: Sequence[str]
    sizes: Sequence[Size]


@dataclass(frozen=True)
class Batch:
    """Images of one size: latents, noise, timesteps and captions."""

    latents: Float[Tensor, "b c h w"]
    noise: Float[Tensor, "b c h w"]
    timesteps: Int[Tensor, " b"]
    captions: Sequence[str]
    size: Size

    def parts(self, first: int, stride: int, count: int) -> "Iterator[Batch]":
        """Yield the images of process `first` of `stride` processes, in `count` parts."""
        for part in range(count):
            places = slice(first + part * stride, None, stride * count)
            tensors = (self.latents[places], self.noise[places], self.timesteps[places])
            yield Batch(*tensors, self.captions[places], self.size)


def resize_examples(examples: Examples, cfg: LoraConfig) -> Examples:
    """Return the pictures as trained on: unchanged, or resized and cropped to their buckets.

    Raises:
        LoraError: if the pictures have several sizes and `sizes=fixed`, or one is too small for a bucket.
    """
    if cfg.sizes == "buckets":
        pictures = [fit_to_bucket(picture, _bucket(picture.shape, cfg)) for picture in examples.pictures]
        return Examples(pictures, examples.captions)
    training_sizes(examples, cfg)
    return examples


def training_sizes(examples: Examples, cfg: LoraConfig) -> list[Size]:
    """Return width and height of every picture after `resize_examples`, from the shapes alone; raises its errors."""
    if cfg.sizes == "buckets":
        return [_bucket(picture.shape, cfg).size for picture in examples.pictures]
    sizes = [size_of(picture) for picture in examples.pictures]
    distinct = sorted(set(sizes))
    if len(distinct) > 1:
        raise LoraError(
            f"images of {len(distinct)} sizes, {distinct[0][0]}x{distinct[0][1]} among them: use sizes=buckets, or "
            "curate them to one size"
        )
    return sizes


def _bucket(shape: Sequence[int], cfg: LoraConfig) -> Bucket:
    height, width = shape
    return bucket_of(
        width, height, resolution_px=cfg.resolution_px, step_px=cfg.bucket_step_px, upscale=cfg.bucket_upscale
    )


def encode_examples(vae: AutoencoderKL, examples: Examples, cfg: LoraConfig) -> EncodedExamples:
    """Resize and encode examples, on the autoencoder's device."""
    pictures = list(resize_examples(examples, cfg).pictures)
    mirrored = [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures] if cfg.flip else []
    latents = encode(vae, pictures + mirrored)
    if cfg.latents == "once":
        latents = latents.drawn_once(cfg.seed)
    return EncodedExamples(latents, examples.captions, [size_of(picture) for picture in pictures])


def size_of(picture: UInt8[np.ndarray, "h w *rgb"]) -> Size:
    """Return width and height in pixels."""
    return picture.shape[1], picture.shape[0]


def draw_batch(data: EncodedExamples, cfg: LoraConfig, scheduler: DDPMScheduler, step: int, name: str) -> Batch:
    """Return the batch of training step `step` (from 0), the same in every process.

    Args:
        name: name of the loss; training and prior images are sampled independently.
    """
    seed = cfg.seed if name == "lora" else derive_seed(cfg.seed, name)
    random = seeded_generator(seed, "lora", "draw", step)
    places: list[int] = draw_places(data.sizes, cfg.batch_size, step, seed).tolist()
    captions = with_dropout([data.captions[place] for place in places], cfg.caption_dropout, random)
    size = data.sizes[places[0]]
    if cfg.flip:
        mirrored = (torch.rand(len(places), generator=random) < 0.5).tolist()
        places = [place + len(data.captions) * mirror for place, mirror in zip(places, mirrored, strict=True)]
    latents = data.latents.draw(places, random)
    noise = torch.randn(latents.shape, generator=random)
    if cfg.noise_offset:
        noise = noise + cfg.noise_offset * torch.randn((*latents.shape[:2], 1, 1), generator=random)
    total = scheduler.config.num_train_timesteps
    if cfg.timesteps == "stratified":
        timesteps = stratified_timesteps(len(places), total, step, seed)
    else:
        timesteps = torch.randint(0, total, (len(places),), generator=random)
    device = latents.device
    return Batch(latents, to_device(noise, device), to_device(timesteps, device), captions, size)


@torch.no_grad()
def build_evaluation_grid(pipe: Pipeline, examples: Examples, cfg: LoraConfig) -> list[Batch]:
    """Return the fixed images, timesteps and noise on which a loss is evaluated.

    Up to 32 images, evenly spaced, each with 6 timesteps, the middles of equal parts of the schedule. The autoencoder
    must be on its device.
    """
    chosen = _evenly(examples, GRID_IMAGES)
    data = encode_examples(pipe.vae, chosen, cfg.changed(flip=False, latents="resampled"))
    total = pipe.scheduler.config.num_train_timesteps
    times = [(2 * part + 1) * total // (2 * GRID_TIMESTEPS) for part in range(GRID_TIMESTEPS)]
    rows = [(place, time) for place in range(len(data.captions)) for time in times]
    batches = []
    for size in sorted(set(data.sizes)):
        members = [row for row in rows if data.sizes[row[0]] == size]
        at_once = cfg.batch_size // cfg.accumulation
        batches += [
            _grid_batch(data, members[start : start + at_once], size) for start in range(0, len(members), at_once)
        ]
    return batches


def _evenly(examples: Examples, count: int) -> Examples:
    total = len(examples.pictures)
    places = [place * total // min(count, total) for place in range(min(count, total))]
    return Examples([examples.pictures[place] for place in places], [examples.captions[place] for place in places])


def _grid_batch(data: EncodedExamples, rows: Sequence[tuple[int, int]], size: Size) -> Batch:
    latents, noise = [], []
    for place, time in rows:
        random = seeded_generator("grid", place, time)
        latents.append(data.latents.draw([place], random)[0])
        noise.append(torch.randn(latents[-1].shape, generator=random))
    drawn = torch.stack(latents)
    times = torch.tensor([time for _, time in rows], device=drawn.device)
    return Batch(drawn, torch.stack(noise).to(drawn.device), times, [data.captions[place] for place, _ in rows], size)
