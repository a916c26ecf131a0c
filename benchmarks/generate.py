"""Generation: fulora against diffusers' pipeline, by the image and batched, and what it costs.

    python benchmarks/generate.py                    # embedded backbone, 64 px; writes benchmarks/results/generate.json
    python benchmarks/generate.py --backbone sd15    # SD 1.5's architecture with random weights, 512 px: for a GPU

All sides draw the same pictures, from the same noise, backbone and LoRA, by the same sampler, steps and guidance, and
write them as PNGs:

- `pipeline`: one picture a call, the LoRA loaded and not fused, as most scripts do it;
- `pipeline_batched`: batches, the LoRA fused, and on a GPU channels_last, fused projections and a compiled denoiser and
  decoder, as diffusers' documentation advises;
- `fulora`: a set in a folder, with records, digests, the first gate and fsync.

Each run is a process of its own under the clock of `clocked_drawing.py`, without loading and compiling. Sides run in
turn, forwards and backwards, and a ratio is of two runs of one turn. A run fills the parts of the JSON that are asked
for, of its backbone and device, and leaves the others as they were.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clocked_drawing import BACKBONE, DRAWN, HERE, LORA, PICTURES, PLANE, SIDES, Bench, Numbers, Setting, prepare
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from train_lora import line, machine, peak_tflops

from fulora.diffusion.models.loading import load_backbone

RESULT = Path(__file__).parent / "results" / "generate.json"
BATCHED = SIDES[1:]
STEPS = (10, 25, 50)
NO_GPU = {"sides": None, "reason": "this machine has no GPU; run it again on one that has"}
KINDS = {"wall": "seconds_an_image", "processor": "processor_seconds_an_image"}
Table = dict[str, Any]


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, lowest, highest."""
    known = list(values)
    named = {"median": statistics.median(known), "min": min(known), "max": max(known)}
    return {name: float(f"{value:.4g}") for name, value in named.items()}


def hours(images_per_second: float, device: str) -> Table:
    """What a million images take on this machine; time goes with images, so other numbers follow by proportion."""
    taken = float(f"{1e6 / images_per_second / 3600:.4g}")
    return {"hours": taken, "gpu_hours": taken if device == "cuda" else None}


# --- the sides against each other


def compare(bench: Bench, given: argparse.Namespace) -> Table:
    """Images a second of every side, and how many times as fast fulora is, turn by turn."""
    base, limit = bench.base, peak_tflops()
    found = {side: [run[0] for run in runs] for side, runs in bench.turns(given.sides, [base]).items()}
    tflop = tflop_an_image(bench.folder / BACKBONE, base)
    rows = {}
    for side, runs in found.items():
        rates = spread(1 / run["seconds_an_image"] for run in runs)
        rows[side] = {
            "images_per_second": rates,
            "processor_seconds_an_image": spread(run["processor_seconds_an_image"] for run in runs),
            "share_of_peak_flops": round(rates["median"] * tflop / limit, 4) if limit else None,
            "peak_mb": max(run["peak_mb"] for run in runs),
            "drawn": runs[0]["drawn"],
            "a_million_images": hours(rates["median"], base.device),
        }
        if side != "fulora" and "fulora" in found:
            rows[side]["gray_levels_from_fulora"] = differences(bench.folder / DRAWN, side)
    others = [side for side in given.sides if side != "fulora" and "fulora" in found]
    ratios = {f"fulora / {side}": _ratios(found["fulora"], found[side]) for side in others}
    return {**vars(base), "tflop_an_image": round(tflop, 5), "sides": rows, "ratios": ratios}


def _ratios(ours: Sequence[Numbers], theirs: Sequence[Numbers]) -> Table:
    return {kind: spread(b[key] / a[key] for a, b in zip(ours, theirs, strict=True)) for kind, key in KINDS.items()}


def differences(drawn: Path, side: str) -> dict[str, float]:
    """Between the pictures of a side, as gray ones, and fulora's, of 255 levels: proof that they are the same."""
    pairs = zip(*(sorted((drawn / name / "0").rglob(PICTURES)) for name in ("fulora", side)), strict=True)
    found = [np.abs(_gray(ours) - _gray(theirs)) for ours, theirs in pairs]
    return {"mean": round(float(np.mean(found)), 3), "largest": round(float(np.max(found)), 1)}


def _gray(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    pixels = np.asarray(Image.open(path), dtype=float)
    return pixels if pixels.ndim == 2 else pixels.mean(axis=2)


def tflop_an_image(backbone: Path, setting: Setting) -> float:
    """All guided steps of the UNet, and the decoder, counted by torch, 2 FLOP a multiplication."""
    pipe = load_backbone(backbone)
    unet, vae, side = pipe.unet.to("meta"), pipe.vae.to("meta"), setting.size_px // pipe.vae_scale_factor
    latents = torch.empty(2, unet.config.in_channels, side, side, device="meta")
    states = torch.empty(2, pipe.tokenizer.model_max_length, unet.config.cross_attention_dim, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as step:
        unet(latents, torch.zeros(1, device="meta"), states)
    with torch.no_grad(), FlopCounterMode(display=False) as decoding:
        vae.decode(latents[:1])
    return float(setting.steps * step.get_total_flops() + decoding.get_total_flops()) / 1e12


# --- what it costs


def by_batch_size(bench: Bench, given: argparse.Namespace) -> Table:
    """Images a second by batch size, of the sides that have one."""
    largest = max(given.batch_sizes)
    settings = [replace(bench.base, images=-(-largest // size) * size, batch_size=size) for size in given.batch_sizes]
    found = bench.turns(BATCHED, settings)
    table: Table = {}
    for place, setting in enumerate(settings):
        runs = {side: [run[place] for run in found[side]] for side in BATCHED}
        rates = {side: spread(1 / run["seconds_an_image"] for run in some) for side, some in runs.items()}
        ratios = _ratios(runs["fulora"], runs["pipeline_batched"])
        table[str(setting.batch_size)] = {"images_per_second": rates, "fulora / pipeline_batched": ratios}
    return table


def cost(bench: Bench, given: argparse.Namespace) -> Table:
    """What fulora takes against steps and against images, each varied alone, and the straight lines."""
    base = bench.base
    varied = {
        "steps": [replace(base, steps=count) for count in STEPS],
        "images": [replace(base, images=base.batch_size * count) for count in (1, 2, 4)],
    }
    settings = [setting for some in varied.values() for setting in some]
    runs = bench.turns(["fulora"], settings)["fulora"]
    taken = {  # by setting, wall and processor
        key: {setting: statistics.median(run[n][key] for run in runs) for n, setting in enumerate(settings)}
        for key in KINDS.values()
    }
    table: Table = {"base": vars(base)}
    for name, some in varied.items():
        values = [getattr(setting, name) for setting in some]
        table[name] = {"values": values}
        for kind, key in KINDS.items():
            y = [taken[key][setting] * (setting.images if name == "images" else 1) for setting in some]
            what = f"{kind}_seconds" + ("" if name == "images" else "_an_image")
            table[name] |= {what: [float(f"{value:.4g}") for value in y], f"{what}_line": line(values, y)}
    seconds = {setting.steps: taken[KINDS["wall"]][setting] for setting in varied["steps"]}
    return table | {"a_million_images": {steps: hours(1 / value, base.device) for steps, value in seconds.items()}}


def by_processes(bench: Bench, given: argparse.Namespace) -> Table:
    """Whole commands by the number of processes, each for one batch a process and for many, which tells drawing apart.

    What the pictures in between took is drawing; what is left of the time is start-up, loading, and putting together.
    """
    size = bench.base.batch_size
    many = 2 * max(given.processes) * size
    found: dict[int, list[Numbers]] = {count: [] for count in given.processes}
    for turn in range(bench.repeats):
        for count in given.processes if turn % 2 == 0 else reversed(given.processes):
            few = count * size
            short, whole = _command_seconds(bench, count, few), _command_seconds(bench, count, many)
            rate = (many - few) / (whole - short)
            found[count].append({"seconds": whole, "drawing": rate, "besides": whole - many / rate})
    first = found[given.processes[0]]
    table = {
        str(count): {
            "threads_a_process": _threads(count),
            "seconds": spread(run["seconds"] for run in runs),
            "images_per_second_drawing": spread(run["drawing"] for run in runs),
            "seconds_besides_drawing": spread(run["besides"] for run in runs),
            "times_as_fast_drawing": spread(b["drawing"] / a["drawing"] for a, b in zip(first, runs, strict=True)),
        }
        for count, runs in found.items()
    }
    return {"images": many, "batch_size": size, "processes": table}


def _threads(processes: int) -> int:
    return max(1, torch.get_num_threads() // processes)


def _command_seconds(bench: Bench, processes: int, images: int) -> float:
    base, out = bench.base, bench.folder / "commanded"
    shutil.rmtree(out, ignore_errors=True)
    values = {"steps": base.steps, "batch_size": base.batch_size, "shard_batches": 1, "device": base.device}
    values |= {"max_rejected": 1, "compile": base.config().compile, "threads": _threads(processes)}
    command = [sys.executable, "-m", "pipelines", "generate", "--backbone", str(bench.folder / BACKBONE), "--quiet"]
    command += ["--lora", str(bench.folder / LORA), "--plane", PLANE, "--count", str(images), "--out", str(out)]
    command += ["--size", str(base.size_px), "--processes", str(processes)]
    command += [f"{key}={value}" for key, value in values.items()]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": str(_threads(processes))}
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    seconds = time.perf_counter() - started
    print(f"  {processes} processes: {seconds:.1f} s for {images} images", file=sys.stderr, flush=True)
    return seconds


# --- all of it

PARTS: dict[str, Callable[[Bench, argparse.Namespace], Table]] = {
    "sides": compare,
    "batch_sizes": by_batch_size,
    "cost": cost,
    "processes": by_processes,
}


def options() -> argparse.Namespace:
    """What was asked for; what was not said depends on the backbone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=["embedded", "sd15"], default="embedded")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--size", type=int, help="64 px, or 512 px for sd15")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--images", type=int, help="40, or 128 for sd15; a multiple of the batch size")
    parser.add_argument("--batch-size", type=int, help="20, or 32 for sd15")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--compiling", choices=["documented", "quick"], default="documented")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    full = given.backbone == "sd15"
    given.size = given.size or (512 if full else 64)
    given.images = given.images or (128 if full else 40)
    given.batch_size = given.batch_size or (32 if full else 20)
    if given.images % given.batch_size:
        parser.error(f"--images {given.images} is no multiple of --batch-size {given.batch_size}: one would be in part")
    return given


def main() -> None:
    """Measure, print, and write these parts of the result."""
    given = options()
    key = f"{given.backbone}, {given.device}"
    base = Setting(given.images, given.batch_size, given.steps, given.size, given.device, given.compiling)
    command = " ".join(["python benchmarks/generate.py", *(Path(word).name for word in sys.argv[1:])])
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), base, given.repeats)
        prepare(bench.folder, given.backbone)
        for part in given.parts:
            found = {"command": command, "machine": machine(), "repeats": given.repeats, **PARTS[part](bench, given)}
            print(json.dumps({part: found}, indent=1), flush=True)
            before = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {}
            result = {"sd15, cuda": NO_GPU, **before}
            kept = {known: value for known, value in result.get(key, {}).items() if known in PARTS}
            result[key] = {**kept, part: found}
            given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
