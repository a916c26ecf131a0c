"""Memory of a LoRA training: what `--dry-run` predicts against what a process then takes.

    OMP_NUM_THREADS=1 python benchmarks/lora_memory.py                   # writes benchmarks/results/lora_memory.json
    OMP_NUM_THREADS=1 python benchmarks/lora_memory.py --settings '[{"px": 512, "precision": "bf16"}]'

Every setting is a process of its own: SD 1.5's architecture (or `"small": true`) with random weights, the prediction,
then `fit` for two steps on four pictures. On a CPU the peak is the resident size since the weights were made, the
writing of the file included; on a GPU it is what torch allocated.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.models.architectures import build
from fulora.diffusion.training.examples import Examples
from fulora.diffusion.training.memory import predict_memory
from fulora.diffusion.training.train import fit
from fulora.environment import cores, peak_resident, versions
from fulora.training.devices import pick_device

RESULT = Path(__file__).parent / "results" / "lora_memory.json"
IMAGES = 4
SETTINGS: list[dict[str, Any]] = [
    {"small": True, "px": 64},
    {"px": 256},
    {"px": 256, "rank": 128},
    {"px": 256, "text_encoder_learning_rate": 0.0},
    {"px": 256, "precision": "bf16"},
    {"px": 256, "gradient_checkpointing": True},
    {"px": 256, "batch_size": 4},
    {"px": 512},
    {"px": 512, "precision": "bf16"},
    {"px": 512, "gradient_checkpointing": True},
    {"px": 512, "rank": 128},
]


def measure(setting: dict[str, Any]) -> dict[str, Any]:
    """Bytes predicted and taken by this process."""
    given = dict(setting)
    size, small = given.pop("px"), given.pop("small", False)
    cfg = LoraConfig.model_validate({"steps": 2, "batch_size": 1, **given})
    pictures = [np.random.default_rng(n).integers(0, 256, (size, size)).astype(np.uint8) for n in range(IMAGES)]
    images = Examples(pictures, ["a photo of fetal brain"] * IMAGES)
    gpu = pick_device(cfg.device).type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        pipe = build("sd1", Path(folder), small=small, seed=0)
        predicted = predict_memory(pipe, cfg, {(size, size): IMAGES}, images.captions)
        if not gpu:
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak from here on
        fit(Path(folder) / "out", cfg, pipe, images)
    taken = torch.cuda.max_memory_allocated() if gpu else peak_resident()
    expected = predicted.gpu if gpu else predicted.cpu
    return {
        **setting,
        "predicted_mb": round(expected / 1e6),
        "measured_mb": round(taken / 1e6),
        "predicted / measured": round(expected / taken, 3),
    }


def main() -> None:
    """Measure every setting and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=json.loads, default=SETTINGS, help="JSON: `px`, `small`, and LoraConfig's")
    parser.add_argument("--one", action="store_true", help="measure the first setting in this very process")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.settings[0])))
        return
    rows = []
    for setting in given.settings:
        command = [sys.executable, __file__, "--one", "--settings", json.dumps([setting])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(rows[-1]), flush=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    machine = {"cores": cores(), "memory_gb": round(psutil.virtual_memory().total / 1e9), "system": platform.machine()}
    result = {"command": "python benchmarks/lora_memory.py", "device": device, "machine": {**machine, **versions()}}
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps({**result, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
