"""A set to be generated, and the files of its folder that describe it.

`generation.json` says what the set is made of and how it is computed. It is written first, and every process that joins
follows it. `gate.json` is written last: a set that has it is complete.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fulora.config import Config, digest, identity
from fulora.data.column_types import Plane
from fulora.data.label_set import FILE as LABELS
from fulora.data.label_set import LabelSet
from fulora.data.provenance import FILE as PROVENANCE
from fulora.diffusion.sampling.compute import Compute
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.diffusion.sampling.inputs import GenerationInputs, start_rows
from fulora.diffusion.sampling.recipe import BackboneUsed, ControlUsed, LoraUsed
from fulora.diffusion.sets.blank_images import GATE
from fulora.diffusion.sets.shard_writer import REJECTED
from fulora.diffusion.sets.shards import WORK, Shard, shards_of
from fulora.environment import commit, versions
from fulora.integrity import LIST_FILES
from fulora.json_files import read_json

PLAN = "generation.json"
SOURCES = ".sources.json"
OVERVIEW = "overview.png"
KEPT = "all complete shards are kept"
"""What a full disk leaves of a set."""
UNFINISHED = {f".new.{name}" for name in (PLAN, SOURCES, GATE)}
"""What a killed process leaves for the next to replace."""
FILES = {"train", PLAN, SOURCES, GATE, OVERVIEW, REJECTED, WORK, PROVENANCE, LABELS, *UNFINISHED, *LIST_FILES}


class GenerationError(ValueError):
    """A folder that holds another set, or a machine that cannot continue a set."""


class GenerationPlan(Config):
    """`generation.json`: what a set is made of, and how it is computed.

    Attributes:
        start: digest of the images to start from.
        masks: digest of the masks.
        alike: groups of classes whose prompts the backbone cannot distinguish.
    """

    config: Mapping[str, Any]
    backbone: BackboneUsed
    loras: tuple[LoraUsed, ...]
    start: str
    control: ControlUsed | None = None
    masks: str = ""
    compute: Compute
    versions: Mapping[str, str]
    commit: str
    alike: tuple[tuple[Plane, ...], ...] = ()

    @property
    def per_class(self) -> int:
        """Images of each class."""
        return int(self.config["per_class"])

    def content(self) -> Any:
        """Return the part that has to be equal in all processes that generate the set."""
        return self.model_dump(include={"config", "backbone", "loras", "start", "control", "masks"}, mode="json")


@dataclass(frozen=True)
class GenerationJob:
    """A set to be generated: its folder, its config, the weights and images it is made with, and its classes."""

    out: Path
    cfg: SamplingConfig
    inputs: GenerationInputs
    labels: LabelSet

    @property
    def shards(self) -> list[Shard]:
        """All shards of the set."""
        return shards_of(self.cfg)

    def missing_shards(self) -> list[Shard]:
        """Return the shards that are not complete."""
        return [shard for shard in self.shards if not shard.is_complete(self.out)]

    def key(self) -> str:
        """Return the key of the job's loaded weights in a process' cache."""
        return digest([str(self.out.resolve()), identity(self.cfg), self.inputs.fingerprint()])

    def for_worker(self) -> "GenerationJob":
        """Return the job for other processes, with the names and captions of the classes alone."""
        return replace(self, labels=self.labels.captioned())

    def build_plan(self, compute: Compute, alike: Sequence[tuple[Plane, ...]] = ()) -> GenerationPlan:
        """Return the plan of the set, with the chosen way of computing it."""
        start, control = self.inputs.start, self.inputs.control
        rows = [row.sha256 for rows in start_rows(start, self.cfg).values() for row in rows] if start else []
        return GenerationPlan(
            config=json.loads(json.dumps(identity(self.cfg))),
            backbone=self.inputs.used,
            loras=tuple(lora.used for lora in self.inputs.loras),
            start=digest(rows) if start else "",
            control=control.used if control else None,
            masks=control.masks_digest() if control else "",
            compute=compute,
            versions=versions(),
            commit=commit(),
            alike=tuple(alike),
        )


def is_complete(out: Path) -> bool:
    """Whether all images of a set are there, with their manifest."""
    return (out / GATE).is_file()


def check_folder(job: GenerationJob) -> None:
    """Refuse an output folder with other content.

    Raises:
        GenerationError: if it is a file, or holds files that are not of a generated set, or a set with another plan. A
            set of fewer images of each class is none: it grows.
    """
    out = job.out
    if out.exists() and not out.is_dir():
        raise GenerationError(f"{out}: is a file; give a folder for the images")
    others = sorted(path.name for path in out.glob("*") if path.name not in FILES) if out.is_dir() else []
    if others:
        raise GenerationError(f"{out}: holds something else ({others[0]}); give a new folder")
    if (out / PLAN).is_file():
        plan = read_plan(out)
        before, now = plan.content(), job.build_plan(plan.compute).content()
        resized = {**before, "config": {**before["config"], "per_class": job.cfg.per_class}}
        if resized != now:
            raise GenerationError(
                f"{out}: holds another set, with {_describe_difference(resized, now)}; give another folder, or the "
                "same settings"
            )
        if plan.per_class > job.cfg.per_class:
            raise GenerationError(
                f"{out}: holds a set with {plan.per_class} images of each class, and {job.cfg.per_class} are fewer; a "
                "set can grow, not shrink: give another folder, or at least as many images (--count, per_class)"
            )


def grows(job: GenerationJob) -> bool:
    """Whether the folder holds a set that has to grow: one begun with fewer images of each class."""
    return (job.out / PLAN).is_file() and read_plan(job.out).per_class < job.cfg.per_class


def check_masks(job: GenerationJob) -> None:
    """Check that there is a mask for each image, of its size.

    Raises:
        GenerationError: if masks are missing or have another size.
    """
    if (control := job.inputs.control) is None:
        return
    width, height = job.cfg.size
    for plane in job.cfg.planes:
        shape = control.masks[plane].shape if plane in control.masks else (0, height, width)
        if shape[0] < job.cfg.per_class or shape[1:] != (height, width):
            raise GenerationError(
                f"{plane}: {shape[0]} masks of {shape[2]}x{shape[1]} px for {job.cfg.per_class} images of "
                f"{width}x{height} px; each image needs a mask of its own size (image_size_px, per_class)"
            )


def _describe_difference(before: Any, now: Any) -> str:
    for key, value in before.items():
        if isinstance(value, dict) and value != now[key]:
            return f"{key}.{_describe_difference(value, now[key])}"
        if value != now.get(key):
            return f"{key}={json.dumps(value)} instead of {json.dumps(now.get(key))}"
    return f"without {', '.join(sorted(set(now) - set(before)))}"


def read_plan(out: Path) -> GenerationPlan:
    """Read the plan of a set.

    Raises:
        GenerationError: if it is damaged, or of another version of fulora.
    """
    try:
        return read_json(out / PLAN, GenerationPlan)
    except ValueError as error:
        raise GenerationError(f"{out / PLAN}: cannot be read; give a new folder ({error})") from error


def sources_of(job: GenerationJob) -> dict[str, Any]:
    """Return the paths of all inputs, relative to the set's folder, for `regenerate`; the file of them is hidden."""

    def relative(source: Path | str | None) -> str | None:
        return os.path.relpath(source, job.out) if isinstance(source, Path) else source

    inputs = job.inputs
    return {
        "backbone": relative(inputs.backbone),
        "on_disk": isinstance(inputs.backbone, Path),
        "revision": inputs.revision,
        "architecture": inputs.architecture,
        "loras": [relative(lora.path) for lora in inputs.loras],
        "start": relative(inputs.start),
        "control": relative(inputs.control.path if inputs.control else None),
    }
