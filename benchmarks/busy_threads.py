"""Training steps whose waiting threads soon sleep, as fulora sets it, against OpenMP's default.

    python benchmarks/busy_threads.py                # writes benchmarks/results/busy_threads.json; under 3 minutes

A process for each model and policy takes steps of a ResNet18 (16 pictures of 64 px) and of a diffusion U-Net (4 of 32
px), one policy after the other in turn: first on an idle machine, then beside one busy process a core. Seconds are
those of the fastest step of each turn, so that what else runs on the machine counts little while it is idle, and the
median of them while it is busy. `passive_over_default` below 1 is faster; idle, it should be at most 1.02.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from fulora.environment import cores, versions, waiting_threads

RESULT = Path(__file__).parent / "results" / "busy_threads.json"
MODELS = ("resnet18", "unet")
POLICIES = ("default", "passive")
TURN_S = 1.0
"""How long a turn goes on; it takes a step at least."""
STATE_S = 14
"""How long a model is measured, idle and busy each; both policies have a turn at least."""


def resnet18() -> Callable[[], None]:
    """A training step of a classifier."""
    import torch
    from torchvision.models import resnet18

    model, pictures, labels = resnet18(num_classes=6), torch.randn(16, 3, 64, 64), torch.arange(16) % 6
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def step() -> None:
        torch.nn.functional.cross_entropy(model(pictures), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def unet() -> Callable[[], None]:
    """A training step of a denoiser."""
    import torch
    from diffusers import UNet2DModel

    plain: dict[str, Any] = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    model = UNet2DModel(
        sample_size=32, in_channels=4, out_channels=4, block_out_channels=(32, 64), layers_per_block=1, **plain
    )
    noise, times = torch.randn(4, 4, 32, 32), torch.arange(4) * 250
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def step() -> None:
        torch.nn.functional.mse_loss(model(noise, times).sample, noise).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def work(model: str) -> None:
    """Answer each line of standard input with the seconds of the fastest step of one turn."""
    step = {"resnet18": resnet18, "unet": unet}[model]()
    for _ in range(3):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        seconds: list[float] = []
        while sum(seconds) < TURN_S:
            begun = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - begun)
        print(min(seconds), flush=True)


@contextmanager
def started(command: list[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes, which ends with the block."""
    given = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=given | environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """As many busy processes."""
    if count == 0:
        yield
        return
    with started([sys.executable, "-c", "while True: pass"]), neighbours(count - 1):
        yield


def answer(process: subprocess.Popen[str]) -> str:
    """The next line of a process."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise SystemExit("a process of the benchmark has ended")
    return line


def in_turn(model: str) -> dict[str, Any]:
    """Seconds a step, policy by policy, and their ratio."""
    command = [sys.executable, __file__, "--work", model]
    with started(command) as default, started(command, **waiting_threads()) as passive:
        processes = dict(zip(POLICIES, (default, passive), strict=True))
        for process in processes.values():
            answer(process)
        found: dict[str, Any] = {}
        for name, beside, summary in (("idle", 0, min), ("busy", cores(), median)):
            seconds: dict[str, list[float]] = {policy: [] for policy in POLICIES}
            with neighbours(beside):
                begun = time.monotonic()
                while time.monotonic() - begun < STATE_S:
                    for policy, process in processes.items():
                        assert process.stdin is not None
                        process.stdin.write("\n")
                        process.stdin.flush()
                        seconds[policy].append(round(float(answer(process)), 4))
            load = round(os.getloadavg()[0], 2)
            ratio = summary(seconds["passive"]) / summary(seconds["default"])
            found[name] = {**seconds, "load_after": load, "passive_over_default": round(ratio, 3)}
            print(f"{model} {name}: passive over default {ratio:.3f}", flush=True)
    return found


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=MODELS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work)
        return
    result = {
        "command": "python benchmarks/busy_threads.py",
        "machine": {"cores": cores(), "system": platform.machine(), **versions()},
        "load_before": round(os.getloadavg()[0], 2),
        "seconds_a_step": {model: in_turn(model) for model in MODELS},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
