"""What this machine has: cores, memory, GPUs with their half precisions, room on the disks."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from fulora.environment import cores

State = Literal["ok", "missing", "broken"]
GB = 1e9
LEAST_GB = 10
"""Room that Stable Diffusion 1.5, a CLIP and a small study need."""


@dataclass(frozen=True)
class Finding:
    """One fact of an examination.

    Attributes:
        state: `missing` is something that some jobs need, `broken` something that all need.
        advice: what to do; "" for nothing.
    """

    section: str
    name: str
    value: str
    state: State = "ok"
    advice: str = ""


def examine_processor() -> Iterator[Finding]:
    """Yield the cores that this process may use, and the memory."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = f"; a cgroup's quota allows fewer than the affinity, {affinity}" if cores() < affinity else ""
    yield Finding("devices", "CPU", f"{cores()} cores usable of {os.cpu_count()}{quota}")
    memory = psutil.virtual_memory()
    yield Finding("devices", "memory", f"{memory.available / GB:.1f} GB free of {memory.total / GB:.1f} GB")


def examine_accelerators() -> Iterator[Finding]:
    """Yield the devices that torch can use, and the precisions that are native to each."""
    try:
        import torch
    except Exception as error:  # a library of it may be missing or of another system
        yield Finding("devices", "torch", f"cannot be imported: {error}", "broken", "install torch again")
        return
    driver = _nvidia_driver()
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            bf16 = torch.cuda.get_device_capability(number) >= (8, 0)
            value = (
                f"{torch.cuda.get_device_name(number)}, {free / GB:.1f} GB free of {total / GB:.1f} GB, driver {driver}"
            )
            yield Finding("devices", f"cuda:{number}", value)
            yield Finding("precision", f"cuda:{number}", "bf16 and fp16" if bf16 else "fp16; bf16 is emulated")
    elif driver:
        built = f"its CUDA is {torch.version.cuda}" if torch.version.cuda else "it is a build for CPUs"
        advice = f"there is a driver {driver}: install a build of torch for its CUDA (https://pytorch.org)"
        yield Finding("devices", "cuda", f"torch {torch.__version__} sees no GPU; {built}", "missing", advice)
    else:
        yield Finding("devices", "cuda", "no GPU")
    mps = torch.backends.mps.is_available()
    yield Finding("devices", "mps", "available" if mps else "not there")
    if mps:
        yield Finding("precision", "mps", "fp16")
    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding("precision", "cpu", f"fp32 ({capability}); bf16 may be quicker: precision=fastest measures it")


def _nvidia_driver() -> str:
    """The version of NVIDIA's driver; "" where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.split("\n")[0].strip() if done.returncode == 0 else ""


def examine_room(name: str, folder: Path) -> Finding:
    """Return the room on the disk of a folder that may not exist yet, and whether it can be written."""
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(existing).free / GB
    value = f"{folder}: {free:.1f} GB free"
    if not os.access(existing, os.W_OK):
        return Finding("disk", name, f"{folder}: cannot be written", "broken", "name another folder")
    if free < LEAST_GB:
        return Finding("disk", name, value, "missing", f"full-size models and a study need {LEAST_GB} GB or more")
    return Finding("disk", name, value)
