"""Compile the UNet if the remaining steps save more time than compiling takes."""

import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import torch

from fulora import progress

UNet = Callable[..., Any]

EXPECTED_SAVING = 0.25
"""Share of a step's time that compiling saves (measured on GPUs: 1.2 to 1.5 times as fast)."""

EXPECTED_SECONDS = 60.0
"""Approximate time of compiling a Stable Diffusion UNet with its backward pass."""

TRIES = 3


def choose_unet(
    unet: torch.nn.Module,
    probe: Callable[[UNet], None],
    steps: int,
    mode: Literal["auto", "always", "never"],
    device: torch.device,
) -> UNet:
    """Return the UNet, compiled or not.

    `auto` times steps on a GPU: if all of them together would not save what compiling takes, or the compiled UNet turns
    out no faster, the plain one is kept. On a CPU `auto` never compiles: there a run ends with the same bytes however
    long a step took, and a choice by the clock would break that.

    Args:
        probe: runs forward and backward of one step with the UNet it is given, and leaves nothing behind.
        steps: that are left.
    """
    if mode == "never" or (mode == "auto" and device.type != "cuda"):
        return unet
    compiled: UNet = torch.compile(unet, dynamic=False)
    if mode == "always":
        return compiled
    plain_s = median_seconds(probe, unet, device)
    if steps * plain_s * EXPECTED_SAVING < EXPECTED_SECONDS:
        progress.console.print(f"not compiled: {steps} steps of {plain_s:.2f} s are too few for it to pay")
        return unet
    progress.note(f"compiling, which takes about {EXPECTED_SECONDS:.0f} s")
    started = time.perf_counter()
    probe(compiled)
    taken_s, compiled_s = time.perf_counter() - started, median_seconds(probe, compiled, device)
    pays = compiled_s < plain_s
    decision = "compiled" if pays else "not compiled, for it is no faster"
    progress.console.print(
        f"{decision}: a step {plain_s:.3f} s before and {compiled_s:.3f} s after {taken_s:.0f} s of work"
    )
    return compiled if pays else unet


def median_seconds(probe: Callable[[UNet], None], unet: UNet, device: torch.device) -> float:
    """Return the median time of a step in seconds, after one warm-up step."""
    taken = []
    for _ in range(TRIES + 1):
        started = time.perf_counter()
        probe(unet)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])
