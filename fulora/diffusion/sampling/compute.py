"""How sampling is computed: device, precision, memory layout, compiled or not, batch size.

It is chosen once for a set and recorded, because each of these changes the last digits of an image. So `auto` follows
the capabilities of the device; only `fastest` measures times.
"""

import copy
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from fulora import progress
from fulora.config import Config
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.compiling import UNet, choose_unet, median_seconds
from fulora.diffusion.models.conditioning import embed, text_encoders, unet_arguments
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.training.devices import pick_device

Precision = Literal["fp32", "bf16", "fp16"]
Layout = Literal["contiguous", "channels_last"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Compute(Config):
    """How a set is computed. Equal values give equal bytes, whatever the position of an image in the set.

    Attributes:
        device: `cpu`, `cuda` or `mps`.
        hardware: the model of a GPU, or the instruction set of a CPU.
        precision, layout: of the denoiser. The autoencoder is fp32 on a CPU and fp16 on a GPU, or fp32 where its
            config says that fp16 overflows.
        batch_size: images computed together; incomplete batches are filled up.
        threads: of the computation on a CPU; 0 on a GPU.
    """

    device: str
    hardware: str
    precision: Precision
    layout: Layout
    compiled: bool
    batch_size: int
    threads: int

    def describe(self) -> str:
        """Describe it for a log."""
        compiled = ", compiled" if self.compiled else ""
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.threads else ""
        arithmetic = f"{self.precision}, {self.layout}{compiled}, {self.batch_size} at once{threads}"
        return f"{self.device} ({self.hardware}): {arithmetic}"


def hardware(device: torch.device) -> str:
    """Return the model of a GPU, or the architecture and instruction set of a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def choose_compute(pipe: Pipeline, cfg: SamplingConfig, images: int) -> Compute:
    """Choose how a set is computed, and note it.

    Args:
        pipe: LoRAs fused, the denoiser in fp32 or in `loading_dtype`; it is not changed.
        images: in the set, to know whether compiling pays.

    Raises:
        ValueError: if the device is not available.
    """
    device = pick_device(cfg.device)
    precision, layout = _supported(cfg, device)
    compute = Compute(
        device=device.type,
        hardware=hardware(device),
        precision=precision,
        layout=layout,
        compiled=False,
        batch_size=cfg.batch_size,
        threads=cfg.threads if device.type == "cpu" else 0,
    )
    if cfg.precision == "fastest" and device.type == "cpu":
        with pinned_threads(compute):
            precision, layout = _fastest(pipe, cfg)
        compute = compute.changed(precision=precision, layout=layout)
    if cfg.compile == "always" or (cfg.compile == "auto" and _compiling_pays(pipe, cfg, compute, images)):
        compute = compute.changed(compiled=True)
    progress.note(f"computed on {compute.describe()}")
    return compute


def loading_dtype(cfg: SamplingConfig) -> torch.dtype:
    """Return the precision that a denoiser without LoRAs is loaded in: its own, or fp32 where a clock has to choose.

    Raises:
        ValueError: if the device is not available.
    """
    device = pick_device(cfg.device)
    timed = cfg.precision == "fastest" and device.type == "cpu"
    return torch.float32 if timed else DTYPES[_supported(cfg, device)[0]]


def _supported(cfg: SamplingConfig, device: torch.device) -> tuple[Precision, Layout]:
    on_gpu = device.type == "cuda"
    half: Precision = "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    best: Precision = half if on_gpu else "fp32"
    precision = best if cfg.precision == "auto" or cfg.precision == "fastest" else cfg.precision
    return precision, cfg.layout if cfg.layout != "auto" else ("channels_last" if on_gpu else "contiguous")


def move_to_device(pipe: Pipeline, compute: Compute) -> None:
    """Move a pipeline to the device, denoiser and autoencoder in their precision and layout, text encoders in fp32."""
    halved = compute.device == "cuda" and not pipe.vae.config.force_upcast
    device = torch.device(compute.device)
    cast_denoiser(pipe.unet, compute)
    cast(pipe.vae, torch.float16 if halved else torch.float32, device).to(memory_format=FORMATS[compute.layout])
    for encoder in text_encoders(pipe).values():
        cast(encoder, torch.float32, device)


def cast_denoiser(module: torch.nn.Module, compute: Compute) -> None:
    """Move the denoiser, or a ControlNet beside it, to its device, precision and layout."""
    device = torch.device(compute.device)
    cast(module, DTYPES[compute.precision], device).to(memory_format=FORMATS[compute.layout])


@contextmanager
def pinned_threads(compute: Compute) -> Iterator[None]:
    """Within the context, torch uses the number of threads of the set."""
    before = torch.get_num_threads()
    torch.set_num_threads(compute.threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cast(module: torch.nn.Module, dtype: torch.dtype, device: torch.device) -> torch.nn.Module:
    """Cast and move a module in place, weight by weight, without the log messages of diffusers' own `to`."""
    return torch.nn.Module.to(module, device, dtype)


def cast_copy(module: torch.nn.Module, dtype: torch.dtype, layout: Layout, device: torch.device) -> torch.nn.Module:
    """Return a cast copy of a module in evaluation; weights that casting leaves as they are, are shared with it."""
    weights = {
        id(weight): torch.nn.Parameter(_converted(weight.detach(), dtype, layout, device), requires_grad=False)
        for weight in module.parameters()
    }
    buffers = {id(buffer): _converted(buffer, dtype, layout, device) for buffer in module.buffers()}
    return copy.deepcopy(module, weights | buffers)


def _converted(weight: Tensor, dtype: torch.dtype, layout: Layout, device: torch.device) -> Tensor:
    moved = weight.to(device, dtype if weight.is_floating_point() else weight.dtype)
    return moved.contiguous(memory_format=FORMATS[layout]) if moved.dim() == 4 else moved


def _fastest(pipe: Pipeline, cfg: SamplingConfig) -> tuple[Precision, Layout]:
    seconds: dict[tuple[Precision, Layout], float] = {}
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    layouts: tuple[Layout, ...] = ("contiguous", "channels_last") if cfg.layout == "auto" else (cfg.layout,)
    choices = list(product(precisions, layouts))
    for precision, layout in progress.track(choices, "steps timed"):
        seconds[precision, layout] = _seconds_a_step(pipe, cfg, precision, layout)
    progress.note("a step takes " + ", ".join(f"{s:.3f} s ({p}, {f})" for (p, f), s in seconds.items()))
    return min(seconds, key=lambda choice: seconds[choice])


def _seconds_a_step(pipe: Pipeline, cfg: SamplingConfig, precision: Precision, layout: Layout) -> float:
    """Of a copy of the denoiser on a CPU, which is released before the next one is made."""
    unet = cast_copy(pipe.unet, DTYPES[precision], layout, torch.device("cpu"))
    return median_seconds(_probe(pipe, cfg, torch.device("cpu"), DTYPES[precision]), unet, torch.device("cpu"))


def _compiling_pays(pipe: Pipeline, cfg: SamplingConfig, compute: Compute, images: int) -> bool:
    """Measured on a copy of the denoiser; on a CPU it never pays (`choose_unet`)."""
    device, dtype = torch.device(compute.device), DTYPES[compute.precision]
    if device.type != "cuda":
        return False
    unet = cast_copy(pipe.unet, dtype, compute.layout, device)
    calls = -(-images // cfg.batch_size) * cfg.steps
    return choose_unet(unet, _probe(pipe, cfg, device, dtype), calls, "auto", device) is not unet


def _probe(pipe: Pipeline, cfg: SamplingConfig, device: torch.device, dtype: torch.dtype) -> Callable[[UNet], None]:
    width, height = (side // pipe.vae_scale_factor for side in cfg.size)
    latents = torch.zeros(2 * cfg.batch_size, pipe.unet.config.in_channels, height, width, device=device, dtype=dtype)
    prompts = [cfg.negative_prompt, cfg.prompts[cfg.planes[0]]]
    with torch.no_grad():
        texts = embed(pipe, prompts, cfg.clip_skip).at([0, 1] * cfg.batch_size).to(dtype).to(device)

    @torch.no_grad()
    def probe(unet: UNet) -> None:
        unet(latents, torch.tensor(500, device=device), **unet_arguments(texts, (cfg.size[1], cfg.size[0])))

    return probe
