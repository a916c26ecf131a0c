"""What a GPU does, in at most nine minutes: LoRA training, generation, memory, encoders, and agreement with the CPU.

    make gpu                              # on a machine with a GPU; writes benchmarks/results/gpu.json
    python benchmarks/gpu.py --small      # tiny networks, on the CPU too: only to see that all of it runs

SD 1.5's architecture with random weights at 512 px: training against the loop of diffusers' script (`plain_lora.py`),
compiled and not; generation against diffusers' pipeline, batched with the LoRA fused, by precision and compiled; the
memory that `--dry-run` predicts against what is taken. ViT-L/14, DenseNet169, a U-Net, one denoising step and a decoded
picture: the GPU's results against the CPU's. Nothing is installed or downloaded.

A part is skipped, with its reason, if it might not end in time, and one that fails says how; what was measured stays.
The exit status is 1 if a part failed or a difference is above its tolerance.
"""

import argparse
import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import clocked_drawing
import clocked_run
import gpu_agreement
import torch
import train_lora
from clocked_drawing import BACKBONE, PLANE, by_pipeline, loaded

from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling.compute import choose_compute
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.diffusion.sampling.image_generator import ImageRequest, build_generator
from fulora.diffusion.sampling.samplers import as_numpy_2
from fulora.training.devices import pick_device

RESULT = Path(__file__).parent / "results" / "gpu.json"
HERE = Path(__file__).parent
LIMIT_S = 540
Table = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where, on what and how large everything is measured."""

    folder: Path
    device: torch.device
    small: bool

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU."""
        return self.device.type == "cuda"


def machine() -> Table:
    """The GPU with its driver, the CPU, and the libraries."""
    command = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
    driver = None
    if torch.cuda.is_available() and shutil.which(command[0]):
        driver = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "driver, memory": driver,
        "cuda": torch.version.cuda,
        "cpu": model,
        **train_lora.machine(),
    }


# --- the parts


def training(bench: Bench) -> Table:
    """LoRA training against the loop of diffusers' script."""
    name, sides = ("small", ["fulora", "plain"]) if bench.small else ("sd15", ["fulora", "fulora_compiled", "plain"])
    folder = bench.folder / "training"
    folder.mkdir()
    (folder / name).symlink_to(bench.folder / BACKBONE, target_is_directory=True)
    small = clocked_run.Setting(name, 64, "fp32", batch_size=2, steps=2, images=4)
    full = clocked_run.Setting(name, 512, "bf16", batch_size=4, steps=20, images=48)
    run = clocked_run.Bench(folder, bench.device.type, None)
    return train_lora.compare(run, sides, small if bench.small else full, 1)


def memory(bench: Bench) -> Table:
    """Memory that is predicted for a LoRA training, and what it takes."""
    small, full = {"small": True, "px": 64}, {"px": 512, "precision": "bf16", "batch_size": 4}
    setting = {**(small if bench.small else full), "device": bench.device.type}
    command = [sys.executable, str(HERE / "lora_memory.py"), "--one", "--settings", json.dumps([setting])]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(HERE.parent)})
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: Table = json.loads(done.stdout.splitlines()[-1])
    return found


def generation(bench: Bench) -> Table:
    """Images a second of diffusers' batched pipeline, and of fulora by precision, compiled and not."""
    count, steps, size = (2, 2, 64) if bench.small else (16, 10, 512)
    base = clocked_drawing.Setting(count, count, steps, size, bench.device.type).config()
    few = base.model_copy(update={"steps": 2})
    pipe = loaded(bench.folder, bench.device.type, fused=True)
    draw, number = by_pipeline(pipe, count), iter(range(10))
    with as_numpy_2():
        rates = {"pipeline": _images_a_second(lambda cfg: draw(bench.folder / f"drawn{next(number)}", cfg), few, base)}
    del pipe, draw
    kinds = [("fp32", False), *[("fp16", False), ("bf16", False), ("bf16", True)] * bench.on_gpu]
    for precision, compiled in kinds:
        _release()
        asked = {"precision": precision, "compile": "always" if compiled else "never"}
        rates[f"fulora, {precision}{', compiled' * compiled}"] = _fulora(bench, base.model_copy(update=asked))
    same = "fulora, bf16" if bench.on_gpu else "fulora, fp32"
    ratios = {
        f"{side} / pipeline": float(f"{rate / rates['pipeline']:.3g}")
        for side, rate in rates.items()
        if side != "pipeline"
    }
    setting = {"images": count, "steps": steps, "size_px": size}
    return {**setting, "images_per_second": rates, "same precision": same, "ratios": ratios}


def _fulora(bench: Bench, cfg: SamplingConfig) -> float:
    pipe = clocked_drawing.begun(bench.folder, bench.folder / "set", cfg).inputs.load()
    generator = build_generator(pipe, cfg, choose_compute(pipe, cfg, cfg.per_class))
    requests = [ImageRequest(PLANE, index) for index in range(cfg.per_class)]

    def generate(asked: SamplingConfig) -> None:
        replace(generator, cfg=asked).generate(requests)

    return _images_a_second(generate, cfg.model_copy(update={"steps": 2}), cfg)


def _images_a_second(draw: Callable[[SamplingConfig], object], few: SamplingConfig, cfg: SamplingConfig) -> float:
    """Of one batch, after one of two steps; pictures end on the CPU, so nothing is left to wait for."""
    draw(few)
    started = time.perf_counter()
    draw(cfg)
    return float(f"{cfg.per_class / (time.perf_counter() - started):.4g}")


def clip(bench: Bench) -> Table:
    """ViT-L/14."""
    return gpu_agreement.clip(bench.device, small=bench.small)


def classifier(bench: Bench) -> Table:
    """DenseNet169."""
    return gpu_agreement.classifier(bench.device, small=bench.small)


def unet(bench: Bench) -> Table:
    """A U-Net."""
    return gpu_agreement.unet(bench.device, small=bench.small)


def diffusion(bench: Bench) -> Table:
    """A step of the denoiser, and a decoded picture."""
    pipe, size = load_backbone(bench.folder / BACKBONE), 64 if bench.small else 512
    cfg = clocked_drawing.Setting(1, 1, 4, size, bench.device.type).config().model_copy(update={"compile": "never"})
    return gpu_agreement.diffusion(pipe, choose_compute(pipe, cfg, 1), size)


PARTS: dict[str, tuple[int, Callable[[Bench], Table]]] = {
    "clip": (60, clip),
    "classifier": (30, classifier),
    "unet": (30, unet),
    "diffusion": (60, diffusion),
    "generation": (150, generation),
    "training": (150, training),
    "memory": (60, memory),
}
"""What is measured, and seconds that it might take at full size."""


# --- all of it


def measure(part: str, bench: Bench, left_s: float) -> Table:
    """What a part found, or why it found nothing."""
    might_take, work = PARTS[part]
    if left_s < might_take:
        return {"skipped": f"{left_s:.0f} s were left, and it might take {might_take} s"}
    started = time.perf_counter()
    try:
        found = work(bench)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        found = {"failed": f"{type(error).__name__}: {error}"}
    _release()
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_good(found: Any) -> bool:
    """Return whether no part failed, and no difference is above its tolerance."""
    if not isinstance(found, dict):
        return True
    return "failed" not in found and found.get("within", True) and all(map(is_good, found.values()))


def main() -> None:
    """Measure every part, write the result after each, and say whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny networks")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--limit", type=float, default=LIMIT_S, metavar="SECONDS")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    started, device = time.perf_counter(), pick_device(asked.device)
    if device.type != "cuda" and not asked.small:
        parser.error("there is no CUDA GPU for networks of full size; --small takes tiny ones")
    command = " ".join(["python benchmarks/gpu.py", *(Path(word).name for word in sys.argv[1:])])
    result: Table = {"command": command, "machine": machine(), "parts": {}}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), device, asked.small)
        clocked_drawing.prepare(bench.folder, "embedded" if asked.small else "sd15")
        for part in asked.parts:
            result["parts"][part] = measure(part, bench, asked.limit - (time.perf_counter() - started))
            result["seconds"] = round(time.perf_counter() - started, 1)
            asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            print(json.dumps({part: result["parts"][part]}, indent=1), flush=True)
    sys.exit(not is_good(result["parts"]))


if __name__ == "__main__":
    main()
