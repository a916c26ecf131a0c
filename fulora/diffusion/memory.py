"""How much memory a training will take: its own steps, run on tensors that have shapes and no numbers.

What is followed is every storage from its allocation to its release, so weights, adapters, gradients, activations that
the backward pass needs, casts, gradient checkpointing and accumulation count for what they are.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]  # accelerate needs it
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fulora.diffusion.backbone import OMITTED, networks, quiet
from fulora.diffusion.batches import Batch
from fulora.diffusion.buckets import Size
from fulora.diffusion.conditioning import Pipeline, embed, text_encoders, unet_arguments
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.learner import Learner, cast_and_adapt
from fulora.diffusion.lora import all_lora_parameters
from fulora.diffusion.objective import ENCODED_PIXELS, encode
from fulora.diffusion.train import batch_error
from fulora.diffusion.watch import LossWatch
from fulora.processes import Processes

CPU_BLOCK, GPU_BLOCK = 64, 512
"""Bytes that an allocation is rounded up to."""

CUBLAS = 32 * 2**20
"""What PyTorch gives cuBLAS to work in, on a Hopper GPU."""

KERNELS = 50 * 2**20
"""What oneDNN compiles and keeps on a CPU's first steps, about."""

MMAP = 32 * 2**20
"""Blocks from this size on go back to the system when they are freed (glibc); smaller ones leave holes."""

HOLES = 0.75
"""Share of the activations in such smaller blocks that the holes take beside them: measured with SD 1.5 on a CPU."""

CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)
NORMALISATIONS = (torch.nn.functional.group_norm, torch.nn.functional.layer_norm)


@dataclass(frozen=True)
class Memory:
    """Predicted peaks, in bytes, of a training by one process.

    Attributes:
        gpu: allocated on a GPU, if it is trained on one (`torch.cuda.max_memory_allocated`).
        cpu: resident, with Python and its libraries, if it is trained on the CPU; from the loaded backbone on.
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
    python = psutil.Process().memory_info().rss - loaded + KERNELS
    sketch = outline(pipe, cfg)
    rest = sum(tensor.nbytes for module in networks(sketch) if module is not sketch.vae for tensor in _tensors(module))
    rounds = 2 if cfg.accumulation > 1 or prior else 1  # the second finds the gradients of the first
    return Memory(
        gpu=CUBLAS + max(_encoding(sketch, sizes, True), _training(sketch, cfg, sizes, captions, rounds, True)),
        cpu=python
        + max(rest + _encoding(sketch, sizes, False), _training(sketch, cfg, sizes, captions, rounds, False)),
    )


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


def _encoding(sketch: Pipeline, sizes: Mapping[Size, int], gpu: bool) -> int:
    """The peak while the autoencoder, which is counted, reads the largest batch of each size."""
    with _following(gpu) as live:
        _allocate(sketch.vae)
        live.mark()
        for (width, height), count in sizes.items():
            at_once = max(1, min(32, count, ENCODED_PIXELS // (width * height)))
            encode(sketch.vae, [np.zeros((height, width), np.uint8)] * at_once)
    return live.resident()


def _training(
    sketch: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int], captions: Sequence[str], rounds: int, gpu: bool
) -> int:
    """The peak of an update, and of a sample grid where there are some, beside all that stays from step to step."""
    with _following(gpu) as live:
        learner = _learner(sketch, cfg, captions, gpu)
        kept = _bytes(_state_bytes(learner.parameters, cfg) + _latent_bytes(sketch, cfg, sizes))
        live.mark()
        for _ in range(rounds):
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
    _allocate(sketch.unet, channels_last=gpu)
    encoders = list(text_encoders(sketch).values())
    for module in encoders if gpu else [*encoders, sketch.vae]:
        _allocate(module)
    texts = None
    if cfg.text_encoder_learning_rate == 0:
        with torch.no_grad():
            texts = {text: embed(sketch, [text], cfg.clip_skip).to(sketch.unet.dtype) for text in {*captions, ""}}
        for module in encoders if gpu else []:
            _replace(module, lambda tensor: tensor.to("meta"))
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
        _allocate(learner.pipe.vae)
    with learner.autocast():
        arguments = unet_arguments(learner.conditioning([caption] * 2 * count, cfg.clip_skip), size[::-1])
        noise = _latents(learner.pipe, 2 * count, size).to(learner.dtype)
        learner.unet(noise, torch.zeros(2 * count, dtype=torch.long), **arguments)
    learner.pipe.vae.decode(_latents(learner.pipe, count, size))


def optimizer_bytes(parameters: Sequence[torch.nn.Parameter], cfg: LoraConfig) -> int:
    """What the optimizer keeps: AdamW two fp32 numbers a weight, in 8 bits for tensors of 4,096 weights or more where
    it is bitsandbytes', Prodigy four."""
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


def _allocate(module: torch.nn.Module, *, channels_last: bool = False) -> None:
    """Give a module on the meta device weights without numbers."""

    def allocated(tensor: Tensor) -> Tensor:
        last = channels_last and tensor.dim() == 4
        form = torch.channels_last if last else torch.contiguous_format
        return torch.empty(tensor.shape, dtype=tensor.dtype, memory_format=form)

    _replace(module, allocated)


@torch.no_grad()
def _replace(module: torch.nn.Module, make: Callable[[Tensor], Tensor]) -> None:
    """`Module.to` cannot do it: it swaps tensors, which those without numbers do not allow."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = torch.nn.Parameter(make(parameter), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = make(buffer)


class _Live(TorchDispatchMode):
    """Follows all storages, and the peaks of their bytes.

    Args:
        block: bytes that an allocation is rounded up to.
        holes: whether freed small blocks leave holes, and convolutions copy their weights, as on a CPU.
    """

    def __init__(self, block: int, holes: bool) -> None:
        super().__init__()
        self.block, self.holes = block, holes
        self.now = self.peak = self.small = self.small_peak = self.small_before = 0
        self.known: dict[int, weakref.ref[Any]] = {}

    def mark(self) -> None:
        """From here on, what is allocated comes and goes with every step."""
        self.small_before = self.small_peak = self.small

    def resident(self) -> int:
        """The peak, with the holes."""
        return self.peak + self._hollow()

    def settled(self) -> int:
        """What is there now, small blocks as many as there ever were."""
        return self.now - self.small + self.small_peak + self._hollow()

    def _hollow(self) -> int:
        return int(HOLES * (self.small_peak - self.small_before)) if self.holes else 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for item in tree_leaves(result):
            if isinstance(item, Tensor):
                self._follow(item.untyped_storage())
        if self.holes and function in CONVOLUTIONS:
            weight = args[1] if function is CONVOLUTIONS[0] else args[2]
            self.peak = max(self.peak, self.now + weight.nbytes)
        return result

    def _follow(self, storage: Any) -> None:
        key, size = storage._cdata, -(-storage.nbytes() // self.block) * self.block
        if key in self.known:
            return

        def gone(_: object) -> None:
            del self.known[key]
            self._add(-size)

        self.known[key] = weakref.ref(storage, gone)
        self._add(size)

    def _add(self, size: int) -> None:
        self.now += size
        self.small += size if abs(size) < MMAP else 0
        self.peak, self.small_peak = max(self.peak, self.now), max(self.small_peak, self.small)


class _NormalisedInFp32(TorchFunctionMode):
    """Normalisations as CUDA's autocast does them; the CPU's leaves them in the precision of their input."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in NORMALISATIONS and torch.is_autocast_enabled("cpu"):
            args = [arg.float() if isinstance(arg, Tensor) else arg for arg in args]
            kwargs = {name: arg.float() if isinstance(arg, Tensor) else arg for name, arg in (kwargs or {}).items()}
        return function(*args, **(kwargs or {}))


@contextmanager
def _following(gpu: bool) -> Iterator[_Live]:
    """Inside, tensors have no numbers, and the storages are followed as those of a GPU or of the CPU."""
    live = _Live(GPU_BLOCK if gpu else CPU_BLOCK, holes=not gpu)
    with FakeTensorMode(allow_non_fake_inputs=True), live, _NormalisedInFp32() if gpu else nullcontext():
        yield live
