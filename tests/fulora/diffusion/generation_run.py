"""Small sets for tests, and a process that generates one and kills itself as the kernel would."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from image_rows import image_row

from fulora import progress
from fulora.data.column_types import Plane
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora, all_lora_parameters
from fulora.diffusion.lora.files import save_lora
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling import image_generator as generator
from fulora.diffusion.sampling.config import GenerateConfig, SamplingConfig, resolve_config
from fulora.diffusion.sampling.inputs import GenerationInputs, weights_digest
from fulora.diffusion.sampling.recipe import BackboneUsed
from fulora.diffusion.sampling.sample import image_seed
from fulora.diffusion.sets import job as jobs
from fulora.diffusion.sets.generation import generate_set
from fulora.diffusion.sets.job import GenerationJob
from fulora.engine import InProcess
from fulora.integrity import LIST

FETAL = label_set("fetal_planes")

CALLS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "fcntl.flock"}
"""Of the file system, as Python's audit events name them."""


def settings(**changes: Any) -> GenerateConfig:
    """Two planes of four shards of two pictures of 32 px."""
    small = {
        "per_class": 8,
        "planes": ("brain", "femur"),
        "image_size_px": 32,
        "steps": 2,
        "batch_size": 2,
        "shard_batches": 1,
        "device": "cpu",
    }
    return GenerateConfig.model_validate(small | changes)


def complete(**changes: Any) -> SamplingConfig:
    """The same, with a prompt for each plane."""
    return resolve_config(settings(**changes), FETAL)


def inputs(backbone: Path, **others: Any) -> GenerationInputs:
    used = BackboneUsed(name=backbone.name, digest=weights_digest(backbone))
    return GenerationInputs(backbone=backbone, used=used, **others)


def job(backbone: Path, out: Path, **changes: Any) -> GenerationJob:
    return GenerationJob(out, complete(**changes), inputs(backbone), FETAL)


def drawn(backbone: Path, out: Path, **changes: Any) -> Path:
    """The folder of a set that is drawn in one go."""
    assert generate_set(job(backbone, out, **changes), InProcess()) == []
    return out


def lora_file(backbone: Path, path: Path, seed: int = 0) -> Path:
    """A LoRA that does something."""
    pipe = load_backbone(backbone)
    add_lora(pipe, LoraConfig(rank=2, alpha=6))
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in all_lora_parameters(pipe):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    save_lora(pipe, path)
    return path


def real_set(folder: Path, patients: Sequence[str], held_out: str = "") -> Path:
    """Two brains and two femurs of each patient; one more, whom models are tested on."""

    def pictures() -> Iterator[Picture]:
        for patient in [*patients, *([held_out] if held_out else [])]:
            for plane in ("brain", "femur"):
                for number in range(2):
                    name = f"{patient}_{plane}_{number}"
                    split = "test" if patient == held_out else "train"
                    row = image_row(name, plane=plane, split=split, patient=patient)
                    noise = np.random.default_rng(list(name.encode())).integers(0, 256, (24, 40)).astype(np.uint8)
                    yield Picture(row, noise)

    folder.mkdir()
    ImageSet.write(folder, pictures(), labels=FETAL)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, hidden files too, less the list with times: the bytes of each file, "" for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if path.name != LIST
    }


def run(
    backbone: Path,
    out: Path,
    part: tuple[int, int] = (0, 1),
    dies_at: int = 0,
    told: Path | None = None,
    twins: bool = False,
) -> None:
    """Generate a part of four shards; die before the `dies_at`-th call of the file system on the set's folder (from 1).

    Args:
        told: a file to write the number of such calls into.
        twins: the first picture of each shard looks like that of the shard before it, and has to be generated again.
    """
    torch.set_num_threads(1)
    progress.show(False)
    jobs.commit = lambda: ""  # type: ignore[assignment]  # of the source tree, which others may change in between
    calls = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        if event in CALLS and (event == "fcntl.flock" or str(arguments[0]).startswith(str(out))):
            calls += 1
            if calls == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    if twins:
        generator.image_seed = _twin_seed  # type: ignore[assignment]
    sys.addaudithook(count)
    generate_set(job(backbone, out, per_class=4, max_rejected=1.0 if twins else 0.2), InProcess(), part=part)
    if told is not None:
        told.write_text(str(calls))


def _twin_seed(cfg: GenerateConfig, plane: Plane, index: int, attempt: int) -> int:
    return image_seed(cfg, plane, index if index % 2 or attempt else 0, attempt)
