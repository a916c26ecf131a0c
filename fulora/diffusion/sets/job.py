"""A set that is to be drawn, and what its folder says of it.

`generation.json` says what the set is made of and how it is computed. It is written first, and every process that
joins holds to it. `gate.json` is written last: a set that has it is complete.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fulora.config import Config, digest, identity
from fulora.data.label_set import FILE as LABELS
from fulora.data.label_set import LabelSet
from fulora.data.labels import Plane
from fulora.data.provenance import FILE as PROVENANCE
from fulora.diffusion.config import GenerateConfig
from fulora.diffusion.sampling.compute import Compute
from fulora.diffusion.sampling.config import SamplingConfig, resolve_config
from fulora.diffusion.sampling.inputs import GenerationInputs, start_rows
from fulora.diffusion.sampling.recipe import BackboneUsed, ControlUsed, LoraUsed
from fulora.diffusion.sets.blank_images import GATE
from fulora.diffusion.sets.shard_writer import REJECTED
from fulora.diffusion.sets.shards import WORK
from fulora.environment import commit, versions
from fulora.integrity import LIST_FILES
from fulora.json_files import read_json

PLAN = "generation.json"
SOURCES = ".sources.json"
OVERVIEW = "overview.png"
BEGUN = {f".new.{name}" for name in (PLAN, SOURCES, GATE)}
"""What a killed process leaves for the next to replace."""
OURS = {"train", PLAN, SOURCES, GATE, OVERVIEW, REJECTED, WORK, PROVENANCE, LABELS, *BEGUN, *LIST_FILES}


class GenerationError(ValueError):
    """A folder that another set is in, or a machine that cannot go on with a set."""


class GenerationPlan(Config):
    """`generation.json`: what a set is made of, and how it is computed.

    Attributes:
        alike: classes that the backbone cannot tell apart by their prompts, several a group.
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

    def made_of(self) -> Any:
        """What another process must have alike."""
        return self.model_dump(include={"config", "backbone", "loras", "start", "control", "masks"}, mode="json")


@dataclass(frozen=True)
class GenerationJob:
    """A set that is to be drawn: where, how, with what, and of whose classes."""

    out: Path
    asked: GenerateConfig
    ingredients: GenerationInputs
    labels: LabelSet

    @cached_property
    def cfg(self) -> SamplingConfig:
        """How, with all planes and prompts.

        Raises:
            LabelSetError: planes or prompts of what is no class.
        """
        return resolve_config(self.asked, self.labels)

    def travelling(self) -> "GenerationJob":
        """The job as it travels to other processes: of the classes only what drawing needs, names and captions."""
        return replace(self, labels=self.labels.captioned())

    def planned(self, compute: Compute, alike: Sequence[tuple[Plane, ...]] = ()) -> GenerationPlan:
        """The plan, with what was chosen to compute it, and what the backbone cannot tell apart."""
        start, control = self.ingredients.start, self.ingredients.control
        rows = [row.sha256 for rows in start_rows(start, self.cfg).values() for row in rows] if start else []
        return GenerationPlan(
            config=json.loads(json.dumps(identity(self.cfg))),
            backbone=self.ingredients.used,
            loras=tuple(lora.used for lora in self.ingredients.loras),
            start=digest(rows) if start else "",
            control=control.used if control else None,
            masks=control.masks_digest() if control else "",
            compute=compute,
            versions=versions(),
            commit=commit(),
            alike=tuple(alike),
        )


def is_complete(out: Path) -> bool:
    """Whether a set is put together."""
    return (out / GATE).is_file()


def check_folder(job: GenerationJob) -> None:
    """Refuse a folder with something else in it.

    Raises:
        GenerationError: it is a file, holds what no generation writes, or a set of another plan.
    """
    out = job.out
    if out.exists() and not out.is_dir():
        raise GenerationError(f"{out}: is a file; give a folder for the images")
    strange = sorted(path.name for path in out.glob("*") if path.name not in OURS) if out.is_dir() else []
    if strange:
        raise GenerationError(f"{out}: holds something else ({strange[0]}); give a new folder")
    if (out / PLAN).is_file():
        plan = read_plan(out)
        ours, theirs = job.planned(plan.compute).made_of(), plan.made_of()
        if ours != theirs:
            raise GenerationError(
                f"{out}: holds another set, with {_difference(theirs, ours)}; give another folder, or the same settings"
            )


def check_masks(job: GenerationJob) -> None:
    """Refuse masks that are too few, or of another size than the pictures that are drawn on them.

    Raises:
        GenerationError: they are.
    """
    if (control := job.ingredients.control) is None:
        return
    width, height = job.cfg.size
    for plane in job.cfg.planes:
        shape = control.masks[plane].shape if plane in control.masks else (0, height, width)
        if shape[0] < job.cfg.per_class or shape[1:] != (height, width):
            raise GenerationError(
                f"{plane}: {shape[0]} masks of {shape[2]}x{shape[1]} px for {job.cfg.per_class} images of "
                f"{width}x{height} px; each image needs a mask of its own size (image_size_px, per_class)"
            )


def _difference(theirs: Any, ours: Any) -> str:
    """The first setting that differs, in words."""
    for key, value in theirs.items():
        if isinstance(value, dict) and value != ours[key]:
            return f"{key}.{_difference(value, ours[key])}"
        if value != ours.get(key):
            return f"{key}={json.dumps(value)} instead of {json.dumps(ours.get(key))}"
    return f"without {', '.join(sorted(set(ours) - set(theirs)))}"


def read_plan(out: Path) -> GenerationPlan:
    """The plan of a set.

    Raises:
        GenerationError: it is damaged, or of another version of fulora.
    """
    try:
        return read_json(out / PLAN, GenerationPlan)
    except ValueError as error:
        raise GenerationError(f"{out / PLAN}: cannot be read; give a new folder ({error})") from error


def sources_of(job: GenerationJob) -> dict[str, Any]:
    """Where everything is, from the set's folder: for `regenerate`, never for others, so it is a hidden file."""

    def place(source: Path | str | None) -> str | None:
        return os.path.relpath(source, job.out) if isinstance(source, Path) else source

    given = job.ingredients
    return {
        "backbone": place(given.backbone),
        "on_disk": isinstance(given.backbone, Path),
        "revision": given.revision,
        "architecture": given.architecture,
        "loras": [place(lora.path) for lora in given.loras],
        "start": place(given.start),
        "control": place(given.control.path if given.control else None),
    }
