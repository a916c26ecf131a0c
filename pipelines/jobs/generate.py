"""`generate`: synthetic images from a backbone and LoRAs, without a study."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fulora.config import ConfigError, validated
from fulora.data.image_set import ImageSet
from fulora.diffusion.config import Architecture
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.peft_folder import lora_path
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.diffusion.sampling.inputs import LoraSource, lora_source
from fulora.diffusion.sets.build_job import build_job
from fulora.diffusion.sets.generation import generate_set
from fulora.diffusion.sets.job import GenerationJob
from fulora.engine import InProcess
from pipelines.backbone_names import DEMO, named_backbone
from pipelines.jobs.config_part import job_settings
from pipelines.jobs.images import Images


def generate(
    out: str | Path,
    *,
    count: int,
    backbone: str | Path = DEMO,
    lora: Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    config: str | None = None,
    start: str | Path | None = None,
    labels: str | None = None,
) -> Images:
    """Generate `count` images of each class: each from a seed of its own. A stopped generation continues.

    Example:

        synthetic = fu.generate("synthetic", count=20, lora=["lora/lora.safetensors:0.8"])

    Args:
        out: folder of the set.
        backbone: a diffusers folder, a .safetensors checkpoint, a hub id, or `demo`, the embedded one.
        lora: files of LoRAs or folders of peft, each perhaps with its strength: FILE:0.8.
        settings: of `GenerateConfig`, such as `{"steps": 20, "seed": 1}` (`fulora settings generate` lists them).
        config: take further settings from the `generate:` part of this config.
        start: image-to-image: an image set whose training images are started from.
        labels: label set whose classes are generated; by default that of the LoRAs or of `start`.

    Raises:
        ConfigError, LabelSetError: if a setting or a class is not valid.
        BackboneError, LoraError: if weights cannot be read or do not suit the settings.
        GenerationError: if the folder holds something else.
    """
    job = plan_generation(
        Path(out),
        settings={"per_class": count, **(settings or {})},
        config=config,
        backbone=str(backbone),
        lora=[str(item) for item in lora],
        start=None if start is None else Path(start),
        labels=labels,
    )
    generate_set(job, InProcess())
    return Images(ImageSet(job.out, ""))


def plan_generation(
    out: Path,
    *,
    settings: Mapping[str, Any],
    config: str | None = None,
    backbone: str = DEMO,
    lora: Sequence[str] = (),
    any_base: bool = False,
    start: Path | None = None,
    labels: str | None = None,
    revision: str | None = None,
    architecture: Architecture | None = None,
) -> GenerationJob:
    """Return the job of a set, checked, before anything is generated.

    Args:
        any_base: use LoRAs even if their files are for another prediction type or family.
        revision, architecture: of the backbone, if it is a hub id, or a checkpoint that does not tell.

    Raises:
        ValueError: as `generate`.
    """
    values = job_settings("generate", config, settings)
    if "per_class" not in values:
        raise ConfigError("--count is missing: how many images of each plane?")
    validated(GenerateConfig, values, where=config or "settings")  # before weights are looked for
    named = named_backbone(backbone)
    return build_job(
        out.resolve(),
        values,
        backbone=named.resolve() if isinstance(named, Path) else named,
        backbone_name=named.name if isinstance(named, Path) and backbone != DEMO else backbone,
        revision=revision,
        architecture=architecture,
        loras=[_parse_lora(text, values, any_base=any_base) for text in lora],
        start=start,
        labels=labels,
    )


def _parse_lora(text: str, settings: Mapping[str, Any], *, any_base: bool) -> LoraSource:
    """Parse FILE, FILE:STRENGTH or FILE:STRENGTH:TEXT_STRENGTH; a folder of fulora, diffusers or peft is its file.

    Args:
        settings: of a `GenerateConfig`, with the strengths if the text has none.

    Raises:
        LoraError: if there is no such file, or a strength is not a finite number of at least 0.
    """
    file, *texts = _split_lora(text)
    strengths = [_parse_strength(text, each) for each in texts]
    path = lora_path(Path(file)).resolve()
    if not path.is_file():
        raise LoraError(f"--lora {text}: {path.name} not found; give FILE, FILE:0.8, or FILE:0.8:0.5")
    strength = strengths[0] if strengths else float(settings.get("lora_strength", 1.0))
    text_strength = strengths[1] if len(strengths) > 1 else settings.get("lora_text_strength")
    return lora_source(path, strength, None if text_strength is None else float(text_strength), any_base=any_base)


def _split_lora(text: str) -> list[str]:
    """The file and its strengths, at most two; a file's own name may hold a colon."""
    for count in (0, 1, 2):
        parts = text.rsplit(":", count)
        if len(parts) == count + 1 and parts[0] and Path(parts[0]).exists():
            return parts
    match = re.fullmatch(r"(.+?)((?::\d*\.?\d+){0,2})", text)
    return [match[1], *match[2].split(":")[1:]] if match else [text]


def _parse_strength(text: str, number: str) -> float:
    try:
        strength = float(number)
    except ValueError:
        strength = math.nan
    if not 0 <= strength < math.inf:
        raise LoraError(
            f"--lora {text}: the strength {number!r} is not allowed; give a number of at least 0, such as 0.8: 0 is "
            "the backbone alone, 1 the LoRA as trained"
        )
    return strength
