"""Predict the memory of a LoRA training: one step on the meta device, and formulas for what stays between steps."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import all_lora_parameters
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import embed, text_encoders, unet_arguments
from fulora.diffusion.models.loading import networks
from fulora.diffusion.training.buckets import Size
from fulora.diffusion.training.learner import PRECISIONS, cast_and_adapt
from fulora.diffusion.training.live_memory import Peak, measure_peak
from fulora.diffusion.training.objective import encoding_batch_size

CUBLAS = 32 * 2**20
"""PyTorch's workspace of cuBLAS on a Hopper GPU."""
KERNELS = 50 * 2**20
"""What oneDNN compiles and keeps in the first steps on a CPU, approximately."""
HOLES = 0.75
"""What the C library keeps of freed small blocks, as a share of their peak: measured with SD 1.5 on a CPU."""


@dataclass(frozen=True)
class Memory:
    """Peaks in bytes: allocated on a GPU, without cuDNN's short-lived workspaces; resident on a CPU."""

    gpu: int
    cpu: int


def predict_memory(
    pipe: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int], captions: Sequence[str], *, prior: bool = False
) -> Memory:
    """Return the peaks of a training by one process on either device, from the loaded backbone on, not compiled.

    Args:
        pipe: a backbone without LoRA, as it is loaded, or on the meta device; it is not changed.
        sizes: the number of images of each size, prior images included.
        captions: one for each image.
        prior: whether there are prior images.
    """
    weights = _tensors(*networks(pipe))
    python = psutil.Process().memory_info().rss - sum(tensor.nbytes for tensor in weights if not tensor.is_meta)
    outlined = outline(pipe, cfg)
    encoding, training = _encoding_peak(outlined, sizes), training_memory(outlined, cfg, sizes, captions, prior=prior)
    encoding_cpu = _bytes(*networks(outlined)) + encoding.total + int(HOLES * encoding.small)
    loaded = sum(tensor.nbytes for tensor in weights)
    return Memory(
        gpu=CUBLAS + max(_bytes(outlined.vae) + encoding.total, training.gpu),
        cpu=python + KERNELS + max(loaded, encoding_cpu, training.cpu),
    )


def outline(pipe: Pipeline, cfg: LoraConfig) -> Pipeline:
    """Return a copy of the pipeline as it is trained, cast and with adapters, its weights on the meta device."""
    shapes = {
        id(tensor): torch.nn.Parameter(torch.empty_like(tensor, device="meta"), requires_grad=False)
        for tensor in _tensors(*networks(pipe))
    }
    shared = {id(part): part for part in pipe.components.values() if not isinstance(part, torch.nn.Module)}
    outlined = copy.deepcopy(pipe, shapes | shared)
    cast_and_adapt(outlined, cfg)
    return outlined


def training_memory(
    pipe: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int], captions: Sequence[str], *, prior: bool = False
) -> Memory:
    """Return the peaks of steps, sample grids and, on a CPU, writing the file, of an outlined pipeline, without Python.

    Other arguments are those of `predict_memory`.
    """
    parameters, encoders = all_lora_parameters(pipe), list(text_encoders(pipe).values())
    lora = sum(parameter.nbytes for parameter in parameters)
    copies = (cfg.ema_decay is not None) + (cfg.keep == "best")
    kept = optimizer_bytes(parameters, cfg) + copies * lora + _latent_bytes(pipe, cfg, sizes)
    if cfg.text_encoder_learning_rate == 0:  # embeddings are computed once, then a GPU needs no text encoders
        tokens = pipe.tokenizer.model_max_length * len({*captions, ""})
        kept += tokens * pipe.unet.config.cross_attention_dim * pipe.unet.dtype.itemsize
        encoders = []
    gradients = lora if cfg.accumulation > 1 or prior else 0  # of a step's first part, during its second
    gpu = cpu = _step_peak(pipe, cfg, sizes, captions, norms_in_fp32=cfg.precision != "fp32")
    if cfg.precision != "fp32":
        cpu = _step_peak(pipe, cfg, sizes, captions, norms_in_fp32=False)
    grid, vae = _grid_peak(pipe, cfg, sizes, captions[0]), _bytes(pipe.vae) if cfg.samples else 0
    small = max(gradients + cpu.small, grid.small)
    cpu_peak = max(gradients + cpu.total, lora + grid.total, small + 2 * lora)  # the last: writing the file
    return Memory(
        gpu=kept + _bytes(pipe.unet, *encoders) + max(gradients + gpu.total, lora + vae + grid.total),
        cpu=kept + _bytes(*networks(pipe)) + int(HOLES * small) + cpu_peak,
    )


@torch.no_grad()
def _encoding_peak(pipe: Pipeline, sizes: Mapping[Size, int]) -> Peak:
    batches = [(min(count, encoding_batch_size(w * h)), 3, h, w) for (w, h), count in sizes.items()]
    largest = torch.empty(max(batches, key=math.prod), device="meta")
    return measure_peak(lambda: pipe.vae.encode(largest))


def _step_peak(
    pipe: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int], captions: Sequence[str], *, norms_in_fp32: bool
) -> Peak:
    """One part of a batch of the largest size, until the backward pass, which frees as it goes."""
    inputs = []

    def checkpoint(block: torch.nn.Module, *arguments: Any) -> Tensor:
        inputs.append(arguments)  # until the backward pass; what else the block saves is released after it
        result: Tensor = block(*arguments).detach().requires_grad_()
        return result

    if cfg.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing(checkpoint)
    distinct = sorted({*captions, ""} if cfg.caption_dropout else set(captions))
    texts = [distinct[place % len(distinct)] for place in range(cfg.batch_size // cfg.accumulation)]
    largest = max(sizes, key=lambda size: size[0] * size[1])
    return measure_peak(
        lambda: _denoise(pipe, cfg, texts, largest), PRECISIONS[cfg.precision], norms_in_fp32=norms_in_fp32
    )


@torch.no_grad()
def _grid_peak(pipe: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int], caption: str) -> Peak:
    if cfg.samples is None:
        return Peak()
    texts, size = [caption] * cfg.samples.per_caption, max(sizes, key=sizes.__getitem__)
    denoising = measure_peak(lambda: _denoise(pipe, cfg, texts * 2, size), PRECISIONS[cfg.precision])
    decoding = measure_peak(lambda: pipe.vae.decode(_latents(pipe, len(texts), size)))
    return Peak(*map(max, denoising, decoding))


def _denoise(pipe: Pipeline, cfg: LoraConfig, texts: Sequence[str], size: Size) -> Any:
    with torch.set_grad_enabled(torch.is_grad_enabled() and cfg.text_encoder_learning_rate > 0):
        conditioning = embed(pipe, texts, cfg.clip_skip).to(pipe.unet.dtype)
    latents = _latents(pipe, len(texts), size).to(pipe.unet.dtype)
    return pipe.unet(latents, latents.new_zeros(len(texts)), **unet_arguments(conditioning, size[::-1])).sample


def _latents(pipe: Pipeline, count: int, size: Size) -> Tensor:
    width, height = (side // pipe.vae_scale_factor for side in size)
    return torch.empty(count, pipe.unet.config.in_channels, height, width, device="meta")


def _latent_bytes(pipe: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int]) -> int:
    latents = sum(_latents(pipe, count, size).nbytes for size, count in sizes.items())
    return 2 * latents * (2 if cfg.flip else 1)


def optimizer_bytes(parameters: Sequence[torch.nn.Parameter], cfg: LoraConfig) -> int:
    """Return the size of the optimizer's state: AdamW keeps two fp32 numbers for each weight, bitsandbytes' AdamW two
    bytes in tensors of 4,096 weights or more, Prodigy four fp32 numbers, or three for weights that start at 0."""
    each = {"adamw": 8, "adamw8bit": 2, "prodigy": 16}[cfg.optimizer]
    small = 8 if cfg.optimizer == "adamw8bit" else each
    return sum(p.numel() * (each if p.numel() >= 4096 else small) for p in parameters)


def _bytes(*modules: torch.nn.Module) -> int:
    return sum(tensor.nbytes for tensor in _tensors(*modules))


def _tensors(*modules: torch.nn.Module) -> list[Tensor]:
    return [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
