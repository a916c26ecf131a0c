"""What the files beside an image set say of how it was made: `mix.json` and `generation.json`, a line each fact."""

from pathlib import Path

from pydantic import BaseModel, Field

from fulora.data.hybrid import MIX_RECORD, MixRecord
from fulora.intake.sources.imagefolder import GENERATED
from fulora.json_files import read_json


class _Weights(BaseModel):
    name: str
    digest: str = ""
    strength: float | None = None


class _Settings(BaseModel):
    seed: int
    per_class: int


class _Plan(BaseModel):
    """The part of `generation.json` that is shown."""

    config: _Settings
    backbone: _Weights
    loras: list[_Weights] = Field(default_factory=list)


def describe_set(folder: Path) -> tuple[str, ...]:
    """Return how a hybrid or generated set was made; nothing for other sets.

    Raises:
        DamagedFileError: if a file is damaged.
    """
    lines = _describe_plan(read_json(folder / GENERATED, _Plan)) if (folder / GENERATED).is_file() else []
    lines += describe_mix(read_json(folder / MIX_RECORD, MixRecord)) if (folder / MIX_RECORD).is_file() else []
    return tuple(lines)


def describe_mix(record: MixRecord) -> list[str]:
    """Return what was added, rejected and repeated, a line each."""
    added = ", ".join(f"{plane} {count}" for plane, count in record.added.items() if count)
    lines = [f"added ({record.arm}): {added or 'none'}"]
    for plane, causes in record.rejected.items():
        lines.append(f"rejected of {plane}: {', '.join(f'{name} {count}' for name, count in causes.items())}")
    if not record.rejected and record.arm == "hybrid":
        lines.append("rejected: none")
    lines += [f"repeated of {plane}: {count}, since too few passed" for plane, count in record.repeated.items()]
    return lines


def _describe_plan(plan: _Plan) -> list[str]:
    loras = ", ".join(f"{lora.name} ({lora.digest}) at strength {lora.strength:g}" for lora in plan.loras)
    return [
        f"backbone: {plan.backbone.name} ({plan.backbone.digest})",
        f"LoRA: {loras or 'none'}",
        f"seed {plan.config.seed}, {plan.config.per_class} images of each class",
    ]
