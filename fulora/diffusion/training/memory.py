"""How much memory a training will take: its own steps, run on tensors that have shapes and no numbers.

What is followed is every storage from its allocation to its release, so weights, adapters, gradients, activations that
the backward pass needs, casts, gradient checkpointing and accumulation count for what they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import all_lora_parameters
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import embed, text_encoders, unet_arguments
from fulora.diffusion.models.loading import OMITTED, networks, quiet
from fulora.diffusion.training.batches import Batch
from fulora.diffusion.training.buckets import Size
from fulora.diffusion.training.learner import Learner, cast_and_adapt
from fulora.diffusion.training.loss_watch import LossWatch
from fulora.diffusion.training.objective import encode, encoding_batch_size
from fulora.diffusion.training.tensor_storages import allocate, following, normalise_in_fp32, replace
from fulora.diffusion.training.train import batch_error
from fulora.training.processes import Processes

CUBLAS = 32 * 2**20
"""What PyTorch gives cuBLAS to work in, on a Hopper GPU."""

KERNELS = 50 * 2**20
"""What oneDNN compiles and keeps on a CPU's first steps, about."""


@dataclass(frozen=True)
class Memory:
    """Predicted peaks, in bytes, of a training by one process.

    Attributes:
        gpu: allocated on a GPU, if it is trained on one (`torch.cuda.max_memory_allocated`), without the buffers that
            cuDNN takes for a moment.
        cpu: resident, with Python and its libraries, if it is trained on the CPU; from the loaded backbone on (reading
            its files may have taken as much as the UNet more).
    """

    gpu: int
    cpu: int


def predict_memory(
    pipe: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int], captions: Sequence[str], *, prior: bool = False
) -> Memory:
    """The peaks of a training, its steps not compiled.

    Args:
        pipe: a backbone in fp32 without LoRA, loaded or on the meta device; it is left as it is.
        sizes: how many images are trained on in each size.
        captions: one an image.
        prior: whether there are prior images, which are counted in `sizes` too.
    """
    loaded = sum(tensor.nbytes for module in networks(pipe) for tensor in _tensors(module) if not tensor.is_meta)
    python = psutil.Process().memory_info().rss - loaded
    on_gpu, on_cpu = outline(pipe, cfg), outline(pipe, cfg)
    others = sum(t.nbytes for module in networks(on_cpu) if module is not on_cpu.vae for t in _tensors(module))
    gpu = max(
        encoding_peak(on_gpu, sizes, gpu=True),
        training_peak(on_gpu, cfg, sizes, captions, gpu=True, prior=prior),
    )
    whole = sum(4 * tensor.numel() for module in networks(pipe) for tensor in _tensors(module))
    cpu = max(
        whole,  # in fp32, before it is cast
        encoding_peak(on_cpu, sizes, gpu=False) + others,
        training_peak(on_cpu, cfg, sizes, captions, gpu=False, prior=prior),
    )
    return Memory(gpu=CUBLAS + gpu, cpu=python + KERNELS + cpu)


def outline(pipe: Pipeline, cfg: LoraConfig) -> Pipeline:
    """The pipeline as it is trained, cast and with adapters, its weights on the meta device."""
    parts = {
        name: _on_meta(part) if isinstance(part, torch.nn.Module) else part for name, part in pipe.components.items()
    }
    with quiet():
        sketch: Pipeline = type(pipe)(**(parts | OMITTED[type(pipe).__name__]))
        cast_and_adapt(sketch, cfg)
    return sketch


def _on_meta(module: Any) -> torch.nn.Module:
    """diffusers' models are made from the entries of their config, transformers' from the config itself."""
    kind = type(module)
    with torch.device("meta"):
        made: torch.nn.Module = kind.from_config(module.config) if hasattr(kind, "from_config") else kind(module.config)
    return made.eval()


def _tensors(module: torch.nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def encoding_peak(sketch: Pipeline, sizes: Mapping[Size, int], *, gpu: bool) -> int:
    """The peak, in bytes, while the autoencoder of an outlined pipeline reads the largest batch there is, with its
    weights."""
    batches = [(size, min(count, encoding_batch_size(size[0] * size[1]))) for size, count in sizes.items()]
    (width, height), count = max(batches, key=lambda batch: batch[0][0] * batch[0][1] * batch[1])
    with following(gpu) as live:
        allocate(sketch.vae)
        live.mark()
        encode(sketch.vae, [np.zeros((height, width), np.uint8)] * count)
    return live.resident()


def training_peak(
    sketch: Pipeline,
    cfg: LoraConfig,
    sizes: Mapping[Size, int],
    captions: Sequence[str],
    *,
    gpu: bool,
    prior: bool = False,
) -> int:
    """The peak, in bytes, of the updates of an outlined pipeline, its sample grids, and on a CPU of writing the file,
    with all that stays from step to step. Arguments are those of `predict_memory`."""
    with following(gpu) as live:
        learner = _learner(sketch, cfg, captions, gpu)
        kept = _bytes(_state_bytes(learner.parameters, cfg) + _latent_bytes(sketch, cfg, sizes))
        live.mark()
        for _ in range(2 if cfg.accumulation > 1 or prior else 1):  # the second finds gradients of the first
            loss = batch_error(learner, cfg, _batch(sketch, cfg, sizes, captions), learner.unet).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            del loss
        if cfg.samples:
            _sample_grid(learner, cfg, max(sizes, key=sizes.__getitem__), captions[0], gpu)
        written = 0 if gpu else 2 * sum(parameter.nbytes for parameter in learner.parameters)
        peak = max(live.resident(), live.settled() + written)
    del kept
    return peak


def _learner(sketch: Pipeline, cfg: LoraConfig, captions: Sequence[str], gpu: bool) -> Learner:
    """As `build_learner` leaves it: text encoders that do not learn embed every caption, and leave a GPU."""
    allocate(sketch.unet, channels_last=gpu)
    encoders = list(text_encoders(sketch).values())
    for module in encoders if gpu else [*encoders, sketch.vae]:
        allocate(module)
    for module in [sketch.unet, *encoders] if gpu and cfg.precision != "fp32" else []:
        normalise_in_fp32(module)
    texts = None
    if cfg.text_encoder_learning_rate == 0:
        with torch.no_grad():
            texts = {text: embed(sketch, [text], cfg.clip_skip).to(sketch.unet.dtype) for text in {*captions, ""}}
        for module in encoders if gpu else []:
            replace(module, lambda tensor: tensor.to("meta"))
    parameters = all_lora_parameters(sketch)
    return Learner(
        pipe=sketch,
        unet=sketch.unet,
        parameters=parameters,
        optimizer=torch.optim.SGD(parameters),  # has no states: they are counted apart
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        processes=Processes(0, 1, torch.device("cpu")),
        watch=LossWatch(None),
        texts=texts,
        average=None,
    )


def _batch(sketch: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int], captions: Sequence[str]) -> Batch:
    """As many images of the largest size as go through the UNet at once, with as many captions as there can be."""
    count, (width, height) = cfg.batch_size // cfg.accumulation, max(sizes, key=lambda size: size[0] * size[1])
    latents, noise = (_latents(sketch, count, (width, height)) for _ in range(2))
    distinct = sorted({*captions, ""} if cfg.caption_dropout else set(captions))
    texts = [distinct[place % len(distinct)] for place in range(count)]
    return Batch(latents, noise, torch.zeros(count, dtype=torch.long), texts, (width, height))


def _latents(sketch: Pipeline, count: int, size: Size) -> Tensor:
    width, height = (side // sketch.vae_scale_factor for side in size)
    return torch.empty(count, sketch.unet.config.in_channels, height, width)


@torch.no_grad()
def _sample_grid(learner: Learner, cfg: LoraConfig, size: Size, caption: str, gpu: bool) -> None:
    """One step of the sampler for the pictures of a caption, with and without it, and their decoding."""
    count = cfg.samples.per_caption if cfg.samples else 0
    if gpu:
        allocate(learner.pipe.vae)
    with learner.autocast():
        arguments = unet_arguments(learner.conditioning([caption] * 2 * count, cfg.clip_skip), size[::-1])
        noise = _latents(learner.pipe, 2 * count, size).to(learner.dtype)
        learner.unet(noise, torch.zeros(2 * count, dtype=torch.long), **arguments)
    learner.pipe.vae.decode(_latents(learner.pipe, count, size))


def optimizer_bytes(parameters: Sequence[torch.nn.Parameter], cfg: LoraConfig) -> int:
    """What the optimizer keeps: AdamW two fp32 numbers a weight, bitsandbytes' two bytes in tensors of 4,096 weights or
    more, Prodigy four fp32 numbers, or three for weights that start at 0."""
    each = {"adamw": 8, "adamw8bit": 2, "prodigy": 16}[cfg.optimizer]
    small = 8 if cfg.optimizer == "adamw8bit" else each
    return sum(p.numel() * (each if p.numel() >= 4096 else small) for p in parameters)


def _state_bytes(parameters: Sequence[torch.nn.Parameter], cfg: LoraConfig) -> int:
    """Optimizer, moving average and best weights."""
    copies = (cfg.ema_decay is not None) + (cfg.keep == "best")
    return optimizer_bytes(parameters, cfg) + copies * sum(parameter.nbytes for parameter in parameters)


def _latent_bytes(sketch: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int]) -> int:
    """Mean and standard deviation, in fp32, of every image and its mirror image."""
    pixels = sum(count * width * height for (width, height), count in sizes.items()) * (2 if cfg.flip else 1)
    return int(2 * 4 * sketch.unet.config.in_channels * pixels // sketch.vae_scale_factor**2)


def _bytes(count: int) -> Tensor:
    return torch.empty(count, dtype=torch.uint8)
