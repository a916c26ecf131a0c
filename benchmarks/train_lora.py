"""LoRA training: fulora against a plain loop and against diffusers' own script, and what it costs.

    python benchmarks/train_lora.py                                # writes benchmarks/results/train_lora.json
    python benchmarks/train_lora.py --reference-script train_text_to_image_lora.py --plot cost.png

All sides train the same LoRA (UNet attention, alpha = rank) on the same folder of phantoms and the same backbone with
random weights, at the same batch size and precision; the files they write must hold equally many parameters. Each run
is a process of its own under the clock of `clocked_run.py`, which measures the script as it stands. Sides run in turn,
forwards and backwards, and a ratio is of two runs of one turn. No caption is dropped, and nothing is validated, sampled
or saved before the end. A run fills the part of the JSON that is its device's, and leaves the other as it was.
"""

import argparse
import hashlib
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clocked_run import FULORA, WARM_UP, Bench, Numbers, Setting
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora
from fulora.diffusion.models.architectures import Pipeline, build
from fulora.diffusion.models.loading import load_backbone, save_backbone
from fulora.environment import cores, versions

RESULT = Path(__file__).parent / "results" / "train_lora.json"
PEAK_TFLOPS = {"H200": 790.0, "H100 80GB HBM3": 790.0, "A100": 312.0}
"""Dense bf16 of a device with this in its name: what large products reach on Hopper, the data sheet's on A100."""

ARCHITECTURES = ("small", "quarter", "sd15")
NO_GPU = {"rows": None, "reason": "this machine has no GPU; run it again on one that has"}
COSTS = ("seconds_a_step", "processor_seconds_a_step", "fit_seconds", "fit_processor_seconds", "peak_mb")
Table = dict[str, Any]


def backbone(architecture: str, folder: Path) -> Pipeline:
    """SD 1.x with random weights: the tiny one of the tests, one a quarter as wide as SD 1.5, or all of SD 1.5.

    A quarter as wide, the parts stand to each other as in SD 1.5 (the autoencoder's forward is about two thirds of the
    UNet's forward and backward), which the tiny one, all attention and calls of functions, does not show.
    """
    pipe = build("sd1", folder, small=architecture != "sd15", seed=0)
    if architecture != "quarter":
        return pipe
    torch.manual_seed(0)
    unet = {"block_out_channels": (80, 160, 320, 320), "cross_attention_dim": 192, "norm_num_groups": 16}
    vae = {"block_out_channels": (32, 64, 128, 128), "norm_num_groups": 8}
    text = {"hidden_size": 192, "intermediate_size": 768, "projection_dim": 192}
    pipe.register_modules(
        unet=UNet2DConditionModel.from_config({**pipe.unet.config, **unet}),
        vae=AutoencoderKL.from_config({**pipe.vae.config, **vae}),
        text_encoder=CLIPTextModel(CLIPTextConfig.from_dict(pipe.text_encoder.config.to_dict() | text)).eval(),
    )
    return pipe


def compare(bench: Bench, sides: Sequence[str], setting: Setting, repeats: int) -> Table:
    """Samples a second of every side, and how many times those of another fulora makes, turn by turn."""
    found: dict[str, list[Numbers]] = {side: [] for side in sides}
    for turn in range(repeats):
        for side in sides if turn % 2 == 0 else reversed(sides):
            found[side].append(bench.run(side, setting))
    counts = {side: runs[0]["parameters"] for side, runs in found.items() if side != "fulora_text_encoder_trained"}
    assert len(set(counts.values())) == 1, f"not the same work: {counts} parameters"
    tflop = tflop_a_sample(bench.folder / setting.architecture, setting)
    ratios = {
        f"{ours} / {theirs}": _ratios(found[ours], found[theirs])
        for ours in sides
        for theirs in ("plain", "reference")
        if ours in FULORA and theirs in sides
    }
    rows = {side: _side(runs, setting, tflop) for side, runs in found.items()}
    return {**asdict(setting), "tflop_a_sample": round(tflop, 5), "sides": rows, "ratios": ratios}


def _side(runs: Sequence[Numbers], setting: Setting, tflop: float) -> Table:
    rates = [setting.batch_size / run["seconds_a_step"] for run in runs]
    peak = peak_tflops()
    return {
        "samples_per_second": _spread(rates),
        "seconds_a_step": _spread([run["seconds_a_step"] for run in runs]),
        "processor_seconds_a_step": _spread([run["processor_seconds_a_step"] for run in runs]),
        "model_flops_utilisation": round(statistics.median(rates) * tflop / peak, 4) if peak else None,
        "peak_mb": max(run["peak_mb"] for run in runs),
        "parameters": runs[0]["parameters"],
    }


def _ratios(ours: Sequence[Numbers], theirs: Sequence[Numbers]) -> dict[str, dict[str, float]]:
    kinds = {"wall": "seconds_a_step", "processor": "processor_seconds_a_step"}
    return {kind: _spread([b[key] / a[key] for a, b in zip(ours, theirs, strict=True)]) for kind, key in kinds.items()}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        name: float(f"{value:.4g}")
        for name, value in (("median", statistics.median(values)), ("min", min(values)), ("max", max(values)))
    }


def tflop_a_sample(backbone: Path, setting: Setting) -> float:
    """Forward and backward of the UNet with its LoRA for one image, counted by torch, 2 FLOP a multiplication."""
    pipe = load_backbone(backbone)
    add_lora(pipe, LoraConfig(rank=setting.rank, target="attention", text_encoder_learning_rate=0.0))
    unet, side = pipe.unet.to("meta"), setting.resolution // 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    latents = torch.empty(1, unet.config.in_channels, side, side, device="meta")
    states = torch.empty(1, pipe.tokenizer.model_max_length, unet.config.cross_attention_dim, device="meta")
    with FlopCounterMode(display=False) as counter:
        unet(latents, torch.zeros(1, device="meta"), states).sample.sum().backward()
    return float(counter.get_total_flops()) / 1e12


def peak_tflops() -> float | None:
    """Of this machine's GPU; None without one, or where it is not known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)


# --- cost


def varied(base: Setting) -> dict[str, list[Setting]]:
    """Settings in which one thing alone differs."""
    return {
        "steps": [replace(base, steps=base.steps * n) for n in (1, 2, 4, 8)],
        "images": [replace(base, images=base.images * n) for n in (1, 2, 4, 8)],
        "rank": [replace(base, rank=n) for n in (4, 16, 64, 128)],
        "resolution": [replace(base, resolution=base.resolution * n // 2) for n in (1, 2, 3, 4)],
    }


def cost(bench: Bench, base: Setting, repeats: int) -> Table:
    """What fulora's training takes against steps, images, rank and pixels, each varied alone, and the straight lines.

    `fit` is all from the loaded pictures and backbone to the LoRA's file.
    """
    settings = varied(base)
    points = list(dict.fromkeys(setting for some in settings.values() for setting in some))
    found: dict[Setting, list[Numbers]] = {point: [] for point in points}
    for _ in range(repeats):
        for point in points:
            found[point].append(bench.run("fulora", point))
    result: Table = {"base": asdict(base), "repeats": repeats}
    for name, some in settings.items():
        values = [getattr(setting, name) + (WARM_UP if name == "steps" else 0) for setting in some]
        x = [value**2 for value in values] if name == "resolution" else values
        columns = {key: [statistics.median(run[key] for run in found[setting]) for setting in some] for key in COSTS}
        result[name] = {
            "values": values,
            **{key: [float(f"{y:.4g}") for y in column] for key, column in columns.items()},
            "lines": {key: line(x, column) for key, column in columns.items()},
        }
    return result


def line(x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """The straight line through points, and how far, relatively, the farthest of them is from it."""
    slope, intercept = np.polyfit(x, y, 1)
    fitted = slope * np.asarray(x) + intercept
    deviation = float(np.max(np.abs(np.asarray(y) - fitted) / np.asarray(y)))
    return {"slope": float(f"{slope:.3g}"), "intercept": float(f"{intercept:.3g}"), "farthest": round(deviation, 3)}


def plot(found: Table, path: Path, device: str) -> None:
    """Seconds a step, and in all, against each thing varied, with the lines: of the processor where that computes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.5), layout="constrained")
    axes = figure.subplots(2, 4)
    for column, name in enumerate(("steps", "images", "rank", "resolution")):
        for row, key in enumerate(COSTS[1::2] if device == "cpu" else COSTS[0:3:2]):
            axis, part = axes[row][column], found[name]
            x = [value**2 for value in part["values"]] if name == "resolution" else part["values"]
            axis.plot(x, part[key], "o")
            axis.axline((0, part["lines"][key]["intercept"]), slope=part["lines"][key]["slope"], linewidth=1)
            axis.set(
                xlabel="pixels" if name == "resolution" else name,
                xlim=(0, 1.1 * max(x)),
                ylim=(0, 1.1 * max(part[key])),
            )
            axis.set_ylabel(key.replace("_", " ") if column == 0 else "")
    figure.savefig(path / "train_lora.png" if path.is_dir() else path, dpi=150)


# --- all of it


def options() -> argparse.Namespace:
    """What was asked for; what was not said depends on whether there is a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--architecture", nargs="+", choices=ARCHITECTURES, help="small and quarter, or sd15 on a GPU")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], help="fp32 on a CPU, bf16 on a GPU")
    parser.add_argument("--resolution", type=int, help="128 px on a CPU, 512 px on a GPU")
    parser.add_argument("--batch-sizes", type=int, nargs="+", help="8 on a CPU; 1, 4 and 16 on a GPU")
    parser.add_argument("--steps", type=int, default=20, help=f"measured in each run, after {WARM_UP} that are not")
    parser.add_argument("--images", type=int, default=96, help="a multiple of every batch size")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cost-repeats", type=int, default=2, help="0 leaves the cost table out")
    parser.add_argument("--sides", nargs="+", choices=[*FULORA, "plain", "reference"])
    parser.add_argument("--reference-script", type=Path, help="your copy of diffusers' train_text_to_image_lora.py")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--plot", type=Path, help="a PNG, or a folder for it")
    given = parser.parse_args()
    gpu = given.device == "cuda"
    given.architecture = given.architecture or (["sd15"] if gpu else ["small", "quarter"])
    given.precision = given.precision or ("bf16" if gpu else "fp32")
    given.resolution = given.resolution or (512 if gpu else 128)
    given.batch_sizes = given.batch_sizes or ([1, 4, 16] if gpu else [8])
    sides = ["fulora", *["fulora_compiled"] * gpu, "fulora_text_encoder_trained", "plain"]
    given.sides = given.sides or sides + ["reference"] * bool(given.reference_script)
    if wrong := [size for size in given.batch_sizes if given.images % size]:
        parser.error(f"--images {given.images} is no multiple of batch size {wrong[0]}: an epoch would end in a part")
    if "reference" in given.sides and not (given.reference_script and given.reference_script.is_file()):
        parser.error("the side 'reference' needs --reference-script, a file")
    return given


def measure(given: argparse.Namespace) -> Table:
    """All rows of one device, and the cost table."""
    settings = [
        Setting(architecture, given.resolution, given.precision, size, given.steps, given.images)
        for architecture in given.architecture
        for size in given.batch_sizes
    ]
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), given.device, given.reference_script)
        for architecture in given.architecture:
            save_backbone(backbone(architecture, bench.folder / "made"), bench.folder / architecture, half=False)
        rows = [compare(bench, given.sides, setting, given.repeats) for setting in settings]
        base = Setting(given.architecture[0], given.resolution, given.precision, batch_size=4, steps=20, images=48)
        costs = cost(bench, base, given.cost_repeats) if given.cost_repeats else None
    return {
        "command": " ".join(["python benchmarks/train_lora.py", *(Path(word).name for word in sys.argv[1:])]),
        "machine": machine(),
        "reference": reference(given.reference_script),
        "repeats": given.repeats,
        "rows": rows,
        "cost": costs,
    }


def machine() -> Table:
    """What it was measured on, and with."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    found = {"cores": cores(), "threads": torch.get_num_threads(), "system": platform.machine(), "gpu": gpu}
    return {**found, "peak_tflops": peak_tflops(), **versions(), "accelerate": metadata.version("accelerate")}


def reference(script: Path | None) -> dict[str, str] | None:
    """Which script it was: its name and the digest of its text."""
    if script is None:
        return None
    return {"name": script.name, "sha256": hashlib.sha256(script.read_bytes()).hexdigest()}


def main() -> None:
    """Measure, print, and write the device's part of the result."""
    given = options()
    before = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {}
    found = measure(given)
    result = {"cpu": None, "gpu": NO_GPU, **before, {"cpu": "cpu", "cuda": "gpu"}[given.device]: found}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    if given.plot and found["cost"]:
        plot(found["cost"], given.plot, given.device)


if __name__ == "__main__":
    main()
