"""One LoRA training under a clock, in a process of its own: fulora's, or a script's as it stands.

    python benchmarks/clocked_run.py REPORT.json fulora --pretrained_model_name_or_path FOLDER ...
    python benchmarks/clocked_run.py REPORT.json train_text_to_image_lora.py --pretrained_model_name_or_path FOLDER ...

The clock is a hook that torch calls after every optimizer's step, so all loops are timed at the same place, without
their start and end: from the end of step `WARM_UP` to the end of the last one, all that happens in between included.
`train_lora.py` starts these runs and sets them side by side.
"""

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import plain_lora
import torch
from PIL import Image
from safetensors import safe_open
from torch.optim.optimizer import register_optimizer_step_post_hook

from fulora.data.label_set import label_set
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.training.examples import Examples
from fulora.diffusion.training.train import fit
from fulora.environment import peak_resident
from fulora.intake.phantoms.scan import draw

HERE = Path(__file__).parent
FETAL = label_set("fetal_planes")
WARM_UP = 5
FULORA = ("fulora", "fulora_compiled", "fulora_text_encoder_trained")
Numbers = dict[str, float]


@dataclass
class Clock:
    """Wall and processor time at the end of two steps, whoever's loop it is."""

    first: int
    last: int
    done: int = 0
    marks: list[tuple[float, float]] = field(default_factory=list)

    def __call__(self, *_: object) -> None:
        """Called by torch, after a step."""
        self.done += 1
        if self.done in (self.first, self.last):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.marks.append((time.perf_counter(), time.process_time()))

    def seconds_a_step(self) -> tuple[float, float]:
        """Wall, processor."""
        assert self.done == self.last, f"{self.done} steps were made, and {self.last} asked for"
        wall, processor = (end - start for start, end in zip(*self.marks, strict=True))
        return wall / (self.last - self.first), processor / (self.last - self.first)


def config(given: argparse.Namespace, side: str) -> LoraConfig:
    """Fulora's settings for the work that the script does."""
    return LoraConfig(
        rank=given.rank,
        alpha=given.rank,
        target="attention",
        caption_dropout=0.0,
        resolution_px=given.resolution,
        steps=given.max_train_steps,
        batch_size=given.train_batch_size,
        unet_learning_rate=given.learning_rate,
        text_encoder_learning_rate=given.learning_rate if side == "fulora_text_encoder_trained" else 0.0,
        precision="fp32" if given.mixed_precision == "no" else given.mixed_precision,
        compile="always" if side == "fulora_compiled" else "never",
        checkpoint_every=10**9,
        seed=given.seed,
    )


def run_fulora(given: argparse.Namespace, side: str) -> Numbers:
    """Train; what it took once pictures and backbone were loaded."""
    folder: Path = given.train_data_dir
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    pictures = [np.asarray(Image.open(folder / row["file_name"])) for row in rows]
    pipe = load_backbone(given.pretrained_model_name_or_path)
    wall, processor = time.perf_counter(), time.process_time()
    fit(given.output_dir, config(given, side), pipe, Examples(pictures, [row["text"] for row in rows]))
    return {"fit_seconds": time.perf_counter() - wall, "fit_processor_seconds": time.process_time() - processor}


def run(side: str, arguments: Sequence[str]) -> Numbers:
    """What a run of fulora's, or of a script that has the options of diffusers', took."""
    given, _ = plain_lora.options().parse_known_args(arguments)
    clock, whole = Clock(WARM_UP, given.max_train_steps), {}
    register_optimizer_step_post_hook(clock)
    if side in FULORA:
        whole = run_fulora(given, side)
    else:
        sys.argv = [side, *arguments]
        runpy.run_path(side, run_name="__main__")
    wall, processor = clock.seconds_a_step()
    return {
        "seconds_a_step": wall,
        "processor_seconds_a_step": processor,
        "peak_mb": peak_mb(),
        "parameters": parameters(given.output_dir),
        **whole,
    }


def peak_mb() -> float:
    """Peak of the GPU's memory, or of this process' resident size where there is no GPU."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return round(peak_resident() / 2**20, 1)


def parameters(folder: Path) -> int:
    """Numbers in the matrices of the LoRA file in a folder."""
    (path,) = folder.glob("*.safetensors")
    with safe_open(path, "pt") as file:
        shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
    return sum(int(np.prod(shape)) for shape in shapes if len(shape) > 1)


# --- started from outside


@dataclass(frozen=True)
class Setting:
    """What is trained, on what."""

    architecture: str
    resolution: int
    precision: str
    batch_size: int
    steps: int
    images: int
    rank: int = 4


@dataclass(frozen=True)
class Bench:
    """A folder with backbones (by architecture) and pictures, the device, and the script of the user's."""

    folder: Path
    device: str
    reference: Path | None

    def pictures(self, count: int, size_px: int) -> Path:
        """A folder of `count` phantoms with captions, drawn once, 50 of them different."""
        folder = self.folder / f"images-{count}-{size_px}"
        if folder.is_dir():
            return folder
        folder.mkdir()
        drawn = {plane: draw(plane, range(10), site="A", size_px=size_px, seed=0).images for plane in FETAL.names}
        lines = []
        for number in range(count):
            plane, name = FETAL.names[number % len(FETAL.names)], f"{number:05d}.png"
            Image.fromarray(drawn[plane][number // len(FETAL.names) % 10]).save(folder / name)
            lines.append(json.dumps({"file_name": name, "text": FETAL.captions[plane]}) + "\n")
        (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
        return folder

    def run(self, side: str, setting: Setting) -> Numbers:
        """What one run of one side found."""
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
        if self.device == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        script = {"plain": str(HERE / "plain_lora.py"), "reference": str(self.reference)}.get(side, side)
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            report = Path(out) / "report.json"
            values = self._options(setting, Path(out) / "lora")
            if side == "reference":
                values |= {"checkpointing_steps": 10**9, "cache_dir": self.folder / "datasets"}
            pairs = [part for name, value in values.items() for part in (f"--{name}", str(value))]
            command = [sys.executable, str(HERE / "clocked_run.py"), str(report), script, *pairs]
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
            found: Numbers = json.loads(report.read_text(encoding="utf-8"))
        print(f"  {side}: {found['seconds_a_step']:.4f} s a step, {setting}", file=sys.stderr, flush=True)
        return found

    def _options(self, setting: Setting, out: Path) -> dict[str, object]:
        return {
            "pretrained_model_name_or_path": self.folder / setting.architecture,
            "train_data_dir": self.pictures(setting.images, setting.resolution),
            "output_dir": out,
            "resolution": setting.resolution,
            "train_batch_size": setting.batch_size,
            "max_train_steps": WARM_UP + setting.steps,
            "rank": setting.rank,
            "mixed_precision": "no" if setting.precision == "fp32" else setting.precision,
            "seed": 0,
        }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(run(sys.argv[2], sys.argv[3:])), encoding="utf-8")
