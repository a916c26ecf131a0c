"""Generation: fulora against diffusers' pipeline, by the image and batched, and what it costs.

    python benchmarks/generate.py                    # embedded backbone, 64 px; writes benchmarks/results/generate.json
    python benchmarks/generate.py --backbone sd15    # SD 1.5's architecture with random weights, 512 px: for a GPU

All sides draw as many pictures of the same plane from the same backbone and the same LoRA, with the same sampler, steps
and guidance, and write them as PNGs:

- `pipeline`: one picture a call, the LoRA loaded and not fused, as most scripts do it;
- `pipeline_batched`: as diffusers' documentation advises: batches, the LoRA fused, and on a GPU bf16, channels_last and
  a compiled denoiser;
- `fulora`: a set in a folder, with records, digests, the first gate and fsync.

Weights are loaded, and compiled, before the clock starts. Sides run in turn, forwards and backwards, and a ratio is of
two runs of one turn. A run fills the part of the JSON that is its backbone's and device's, and leaves the others.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fulora
from fulora.diffusion.architectures import Pipeline, build
from fulora.diffusion.backbone import load_backbone, quiet, save_backbone
from fulora.diffusion.config import GenerateConfig, LoraConfig
from fulora.diffusion.generation import begin, generate_set, painter_of
from fulora.diffusion.ingredients import Ingredients, lora_source, weights_digest
from fulora.diffusion.job import Job
from fulora.diffusion.lora import add_lora
from fulora.diffusion.lora_files import save_lora
from fulora.diffusion.painter import Draft
from fulora.diffusion.recipe import BackboneUsed
from fulora.diffusion.samplers import as_numpy_2, build_sampler
from fulora.engine import InProcess
from fulora.environment import cores, versions

RESULT = Path(__file__).parent / "results" / "generate.json"
EMBEDDED = Path(fulora.__file__).parent / "assets" / "diffusion"
SIDES = ("pipeline", "pipeline_batched", "fulora")
PLANE, RANK = "brain", 8
Table = dict[str, Any]


class Bench:
    """A backbone, a LoRA for it, and a folder to draw into."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self.folder, self.given, self.runs = folder, given, 0
        self.backbone = EMBEDDED
        if given.backbone == "sd15":
            self.backbone = folder / "sd15"
            save_backbone(build("sd1", folder / "made", small=False, seed=0), self.backbone, half=False)
        self.lora = folder / "lora.safetensors"
        pipe = load_backbone(self.backbone)
        add_lora(pipe, LoraConfig(rank=RANK, alpha=RANK, target="kohya"))
        random = torch.Generator().manual_seed(0)
        for module in (pipe.unet, pipe.text_encoder):
            for name, parameter in module.named_parameters():
                if "lora_B" in name:
                    parameter.data = 1e-3 * torch.randn(parameter.shape, generator=random)
        save_lora(pipe, self.lora)

    def config(self, *, images: int, batch_size: int, steps: int) -> GenerateConfig:
        """What fulora draws; the others follow it."""
        return GenerateConfig(
            per_class=images,
            planes=(PLANE,),
            image_size_px=self.given.size,
            steps=steps,
            batch_size=batch_size,
            device=self.given.device,
            max_rejected=1.0,
        )

    def run(self, side: str, cfg: GenerateConfig) -> Table:
        """Seconds and processor seconds an image, loading aside."""
        self.runs += 1
        out = self.folder / f"run{self.runs}"
        draw = {"pipeline": self._pipeline, "pipeline_batched": self._batched, "fulora": self._fulora}[side](out, cfg)
        wall, processor = time.perf_counter(), time.process_time()
        draw()
        seconds = {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - processor}
        assert len(list(out.rglob(f"*{PLANE}_*.png"))) == cfg.per_class, f"{side} drew another number of images"
        return {key: value / cfg.per_class for key, value in seconds.items()}

    def _pipeline(self, out: Path, cfg: GenerateConfig) -> Callable[[], None]:
        pipe = self._loaded(fused=False)
        return lambda: _drawn(pipe, out, cfg, at_once=1)

    def _batched(self, out: Path, cfg: GenerateConfig) -> Callable[[], None]:
        pipe = self._loaded(fused=True)
        if self.given.device == "cuda":
            pipe.unet.to(memory_format=torch.channels_last)
            pipe.vae.to(memory_format=torch.channels_last)
            pipe.unet = torch.compile(pipe.unet, mode="max-autotune", fullgraph=True)
            pipe.vae.decode = torch.compile(pipe.vae.decode, mode="max-autotune", fullgraph=True)
            _drawn(pipe, self.folder / "warm", cfg.model_copy(update={"per_class": cfg.batch_size}), cfg.batch_size)
        return lambda: _drawn(pipe, out, cfg, at_once=cfg.batch_size)

    def _loaded(self, *, fused: bool) -> Pipeline:
        pipe = load_backbone(self.backbone)
        with quiet():
            pipe.load_lora_weights(self.folder, weight_name=self.lora.name)
            if fused:
                pipe.fuse_lora()
                pipe.unload_lora_weights()
        pipe.scheduler = build_sampler(pipe.scheduler.config, "dpm++")
        dtype = torch.bfloat16 if self.given.device == "cuda" else torch.float32
        return pipe.to(self.given.device, dtype)

    def _fulora(self, out: Path, cfg: GenerateConfig) -> Callable[[], None]:
        used = BackboneUsed(name="bench", digest=weights_digest(self.backbone))
        job = Job(out, cfg, Ingredients(self.backbone, used, loras=(lora_source(self.lora, 1.0),)))
        begin(job)
        if self.given.device == "cuda":
            painter_of(job).draw([Draft(PLANE, 0)])
        return lambda: _nothing(generate_set(job, InProcess()))


def _nothing(missing: Sequence[object]) -> None:
    assert not missing


def _drawn(pipe: Pipeline, out: Path, cfg: GenerateConfig, at_once: int) -> None:
    """Pictures of the pipeline's own loop, saved as a script would save them."""
    out.mkdir(exist_ok=True)
    for first in range(0, cfg.per_class, at_once):
        numbers = range(first, min(first + at_once, cfg.per_class))
        width, height = cfg.size
        with as_numpy_2():
            images = pipe(
                [cfg.prompts[PLANE]] * len(numbers),
                num_inference_steps=cfg.steps,
                guidance_scale=cfg.guidance_scale,
                width=width,
                height=height,
                generator=[torch.Generator().manual_seed(number) for number in numbers],
            ).images
        for number, image in zip(numbers, images, strict=True):
            image.save(out / f"{PLANE}_{number}.png")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest, highest."""
    named = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in named.items()}


def compare(bench: Bench, repeats: int) -> Table:
    """Images a second of every side, and how many times those of the others fulora draws, turn by turn."""
    given = bench.given
    cfg = bench.config(images=given.images, batch_size=given.batch_size, steps=given.steps)
    found: dict[str, list[Table]] = {side: [] for side in SIDES}
    for turn in range(repeats):
        for side in SIDES if turn % 2 == 0 else reversed(SIDES):
            found[side].append(bench.run(side, cfg))
    kinds = {"wall": "seconds", "processor": "processor_seconds"}
    return {
        "images": given.images,
        "batch_size": given.batch_size,
        "steps": given.steps,
        "size": given.size,
        "images_per_second": {side: spread([1 / run["seconds"] for run in runs]) for side, runs in found.items()},
        "fulora_is_faster": {
            side: {
                kind: spread([theirs[key] / ours[key] for ours, theirs in zip(found["fulora"], runs, strict=True)])
                for kind, key in kinds.items()
            }
            for side, runs in found.items()
            if side != "fulora"
        },
    }


def by_batch(bench: Bench, sizes: Sequence[int], repeats: int) -> Table:
    """Images a second of fulora by batch size: medians."""
    table = {}
    for size in sizes:
        images = max(size, bench.given.images // size * size)
        cfg = bench.config(images=images, batch_size=size, steps=bench.given.steps)
        runs = [bench.run("fulora", cfg) for _ in range(repeats)]
        table[str(size)] = spread([1 / run["seconds"] for run in runs])
    return table


def by_steps(bench: Bench, steps: Sequence[int], repeats: int) -> Table:
    """Seconds an image against steps, and the straight line through the medians."""
    given = bench.given
    medians = []
    for count in steps:
        cfg = bench.config(images=given.images, batch_size=given.batch_size, steps=count)
        medians.append(statistics.median(bench.run("fulora", cfg)["processor_seconds"] for _ in range(repeats)))
    slope, intercept = np.polyfit(steps, medians, 1)
    return {
        "steps": list(steps),
        "processor_seconds_an_image": [float(f"{value:.4g}") for value in medians],
        "line": {"a_step": float(f"{slope:.3g}"), "besides": float(f"{intercept:.3g}")},
    }


def by_processes(bench: Bench, counts: Sequence[int]) -> Table:
    """Wall seconds of whole commands, loading included, by the number of processes."""
    given, table = bench.given, {}
    for count in counts:
        out = bench.folder / f"processes{count}"
        command = [
            sys.executable, "-m", "pipelines", "generate", "--backbone", str(bench.backbone), "--lora", str(bench.lora),
            "--plane", PLANE, "--count", str(4 * given.images), "--size", str(given.size), "--out", str(out), "--quiet",
            "--processes", str(count), f"batch_size={given.batch_size}", f"steps={given.steps}", "shard_batches=1",
            f"device={given.device}", "max_rejected=1",
        ]  # fmt: skip
        threads = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // count))}
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | threads)
        table[str(count)] = {"images": 4 * given.images, "seconds": round(time.perf_counter() - started, 1)}
    return table


def machine() -> Table:
    """What it was measured on, and with."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cores": cores(), "threads": torch.get_num_threads(), "system": platform.machine(), "gpu": gpu, **versions()
    }  # fmt: skip


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=["embedded", "sd15"], default="embedded")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=int, help="64 px, or 512 px for sd15")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    given.size = given.size or (512 if given.backbone == "sd15" else 64)
    return given


def main() -> None:
    """Measure, print, and write this part of the result."""
    given = options()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), given)
        sides = compare(bench, given.repeats)
        found = {
            "command": " ".join(["python benchmarks/generate.py", *(Path(word).name for word in sys.argv[1:])]),
            "machine": machine(),
            "sides": sides,
            "hours_a_million_images": round(1e6 / sides["images_per_second"]["fulora"]["median"] / 3600, 1),
            "images_per_second_by_batch_size": by_batch(bench, given.batch_sizes, given.repeats),
            "cost_by_steps": by_steps(bench, [10, 25, 50], given.repeats),
            "processes": by_processes(bench, given.processes),
        }
    before = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {"sd15, cuda": None}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    result = {**before, f"{given.backbone}, {given.device}": found}
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
