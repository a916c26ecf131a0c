"""A set that is to be drawn, and what its folder says of it.

`generation.json` says what the set is made of and how it is computed. It is written first, and every process that
joins holds to it. `gate.json` is written last: a set that has it is complete.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fulora.config import Config, digest, identity
from fulora.contents import OF_THE_LIST
from fulora.data.label_set import FILE as LABELS
from fulora.data.label_set import LabelSet
from fulora.data.labels import Plane
from fulora.data.manifest import TAINT
from fulora.diffusion.compute import Compute
from fulora.diffusion.config import GenerateConfig
from fulora.diffusion.drawing import Drawing, drawing
from fulora.diffusion.gate import GATE
from fulora.diffusion.ingredients import Ingredients, start_rows
from fulora.diffusion.recipe import BackboneUsed, LoraUsed
from fulora.diffusion.shard_writer import REJECTED
from fulora.diffusion.shards import WORK, synced
from fulora.environment import commit, versions
from fulora.json_files import read_json

PLAN = "generation.json"
SOURCES = ".sources.json"
OVERVIEW = "overview.png"
OURS = {"train", PLAN, SOURCES, GATE, OVERVIEW, REJECTED, WORK, TAINT, LABELS, *OF_THE_LIST}


class GenerationError(ValueError):
    """A folder that another set is in, or a machine that cannot go on with a set."""


class Plan(Config):
    """`generation.json`: what a set is made of, and how it is computed.

    Attributes:
        alike: classes that the backbone cannot tell apart by their prompts, several a group.
    """

    config: Mapping[str, Any]
    backbone: BackboneUsed
    loras: tuple[LoraUsed, ...]
    start: str
    compute: Compute
    versions: Mapping[str, str]
    commit: str
    alike: tuple[tuple[Plane, ...], ...] = ()

    def made_of(self) -> Any:
        """What another process must have alike."""
        return self.model_dump(include={"config", "backbone", "loras", "start"}, mode="json")


@dataclass(frozen=True)
class Job:
    """A set that is to be drawn: where, how, with what, and of whose classes."""

    out: Path
    asked: GenerateConfig
    ingredients: Ingredients
    labels: LabelSet

    @cached_property
    def cfg(self) -> Drawing:
        """How, with all planes and prompts.

        Raises:
            LabelSetError: planes or prompts of what is no class.
        """
        return drawing(self.asked, self.labels)

    def planned(self, compute: Compute, alike: Sequence[tuple[Plane, ...]] = ()) -> Plan:
        """The plan, with what was chosen to compute it, and what the backbone cannot tell apart."""
        start = self.ingredients.start
        rows = [row.sha256 for rows in start_rows(start, self.cfg).values() for row in rows] if start else []
        return Plan(
            config=json.loads(json.dumps(identity(self.cfg))),
            backbone=self.ingredients.used,
            loras=tuple(lora.used for lora in self.ingredients.loras),
            start=digest(rows) if start else "",
            compute=compute,
            versions=versions(),
            commit=commit(),
            alike=tuple(alike),
        )


def is_complete(out: Path) -> bool:
    """Whether a set is put together."""
    return (out / GATE).is_file()


def check_folder(job: Job) -> None:
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


def _difference(theirs: Any, ours: Any) -> str:
    """The first setting that differs, in words."""
    for key, value in theirs.items():
        if isinstance(value, dict) and value != ours[key]:
            return f"{key}.{_difference(value, ours[key])}"
        if value != ours.get(key):
            return f"{key}={json.dumps(value)} instead of {json.dumps(ours.get(key))}"
    return f"without {', '.join(sorted(set(ours) - set(theirs)))}"


def read_plan(out: Path) -> Plan:
    """The plan of a set.

    Raises:
        GenerationError: it is damaged, or of another version of fulora.
    """
    try:
        return read_json(out / PLAN, Plan)
    except ValueError as error:
        raise GenerationError(f"{out / PLAN}: cannot be read; give a new folder ({error})") from error


def sources_of(job: Job) -> dict[str, Any]:
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
    }


def write_whole(path: Path, text: str) -> None:
    """Write a file of a set's folder that is whole or absent; hold a lock of the set, which makes its `.work`."""
    new = path.parent / WORK / path.name
    new.write_text(text, encoding="utf-8")
    synced(new)
    os.replace(new, path)
