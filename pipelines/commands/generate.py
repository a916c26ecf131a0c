"""`fulora generate`: synthetic images from a backbone and LoRAs, without a study around it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fulora import progress
from fulora.diffusion.sampling.lora_usage import check_lora, lora_given, trained_as
from fulora.diffusion.sets.build_job import labels_given
from fulora.diffusion.sets.processes import run_processes
from pipelines.backbones import DEMO, named_backbone
from pipelines.commands.engines import CpusPerTask, EngineName, GpusPerTask, engine_named
from pipelines.commands.options import Backbone, CheckpointArchitecture, Quiet, Revision

if TYPE_CHECKING:
    from fulora.diffusion.config import GenerateConfig
    from fulora.diffusion.sampling.inputs import GenerationInputs, LoraSource


def generate(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Other settings, e.g. steps=20 guidance_scale=7 image_size_px=[768,512] prompts.kidney='...'.",
        ),
    ] = None,
    backbone: Backbone = DEMO,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:STRENGTH[:TEXT]]",
            help="A LoRA file, or peft's folder, and its strength; may be given several times.",
        ),
    ] = None,
    any_base: Annotated[
        bool, typer.Option("--any-base", help="Use LoRAs that say they are for another prediction type or family.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Label set whose classes are drawn; by default the LoRA's, else that of --start, else fetal_planes.",
        ),
    ] = None,
    plane: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="May be given several times; all by default.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Images of each plane.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the set; each image has a seed of its own from it.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="PX|WxH", help="By default what the backbone was made for.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the images; a killed run continues in it.")] = Path(
        "synthetic"
    ),
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Draw every N-th shard from the I-th on; I counts from 0.")
    ] = "0/1",
    config: Annotated[
        str | None, typer.Option("--config", help="Take the `generate:` settings of this config, e.g. paper/fu_lora.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Image-to-image: draw over the training images of this image set.")
    ] = None,
    revision: Revision = None,
    architecture: CheckpointArchitecture = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes on this machine that share the work, one a GPU.")
    ] = 1,
    engine: EngineName = "local",
    cpus: CpusPerTask = 1,
    gpus: GpusPerTask = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and say what it takes.")] = False,
    quiet: Quiet = False,
) -> None:
    """Draw synthetic images: each by a seed of its own, the same whatever shard, order or process drew it.

    Examples:

      fulora generate --lora kidneys/lora.safetensors --plane "left kidney" --count 100 --out left

      fulora generate --backbone sd15 --lora lora/lora.safetensors:0.8 --count 1000 --out synthetic --processes 4

      fulora generate --backbone sd15 --count 1000 --out synthetic --shard $SLURM_ARRAY_TASK_ID/16

      fulora generate --config paper/fu_lora --backbone sd15 --lora lora/lora.safetensors --out synthetic --dry-run
    """
    from fulora.diffusion.sets.generation import generate_set
    from fulora.diffusion.sets.job import GenerationJob, check_folder
    from fulora.diffusion.sets.shards import part_of, shards_of
    from fulora.training.devices import pick_device

    if processes > 1 and engine == "ray":
        raise ValueError("--processes is for this machine; with --engine ray the cluster says how many tasks run")
    progress.show(not quiet)
    out = out.resolve()
    asked = {"per_class": count, "seed": seed, "planes": _planes(plane), "image_size_px": _size(size)}
    given = _settings(config, overrides or [], asked)
    loras = [lora_given(text, given, any_base=any_base) for text in lora or []]
    ingredients = _ingredients(backbone, loras, start, out, revision, architecture)
    for name in ingredients.provenance().unknowns():
        progress.note(f"{name}: nothing tells whom it learned from; what it knows of patients cannot be seen")
    classes = labels_given(labels, [lora.path for lora in loras], ingredients.start)
    job = GenerationJob(out, _config(given, ingredients, config), ingredients, classes)
    part = _part(shard)
    if engine == "local":
        pick_device(job.cfg.device)
    if dry_run:
        from fulora.diffusion.sets.forecast import plan_lines

        print("\n".join(plan_lines(job, part)))
        return
    every = shards_of(job.cfg)
    if processes > 1:
        check_folder(job)
        run_processes(out, part_of(every, part), processes)
        missing = [shard for shard in every if not shard.is_complete(out)]
    else:
        missing = generate_set(job, engine_named(engine, cpus, gpus), part=part)
    print(f"{out}: {len(every) - len(missing)} of {len(every)} shards are there" if missing else out)


def _planes(named: list[str] | None) -> list[str] | None:
    """Each plane once, in the order given."""
    return list(dict.fromkeys(named)) if named else None


def _size(text: str | None) -> int | list[int] | None:
    """The side of a square, or width and height.

    Raises:
        ValueError: neither, or no multiples of 8.
    """
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 and int(side) % 8 == 0 for side in sides):
        raise ValueError(
            f"--size {text}: give the side of a square, such as 512, or width and height, such as 768x512, each a "
            "multiple of 8 px"
        )
    return int(sides[0]) if len(sides) == 1 else [int(side) for side in sides]


def _part(text: str) -> tuple[int, int]:
    """I of N.

    Raises:
        ValueError: not two numbers, or I is not below N.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ValueError(
            f"--shard {text}: give two numbers such as 0/4; the first counts from 0 and is below the second"
        )
    return int(index), int(count)


def _settings(config: str | None, overrides: list[str], asked: dict[str, Any]) -> dict[str, Any]:
    """What the config, the options and the overrides say, the later over the earlier.

    Raises:
        ConfigError: they do not say what is allowed, or not how many images.
    """
    from fulora.config import ConfigError, merged, overridden, part, read_yaml, validated
    from fulora.diffusion.config import GenerateConfig
    from pipelines.configs import config_path, shipped

    values = read_yaml(config_path(config), shipped()) if config else {"generate": {}}
    if "generate" not in values:
        raise ConfigError(f"{config}: it has no `generate:` part to take settings from")
    said = {key: value for key, value in asked.items() if value is not None}
    found = overridden(merged(part(values, "generate", where=config or "settings"), said), overrides)
    if "per_class" not in found:
        raise ConfigError("--count is missing: how many images of each plane?")
    validated(GenerateConfig, found, where=config or "settings")  # before weights are looked for
    return found


def _ingredients(
    backbone: str,
    loras: "list[LoraSource]",
    start: Path | None,
    out: Path,
    revision: str | None,
    architecture: Any,
) -> "GenerationInputs":
    from fulora.diffusion.sampling.inputs import GenerationInputs, weights_digest
    from fulora.diffusion.sampling.recipe import BackboneUsed
    from fulora.diffusion.sets.job import PLAN, is_complete
    from fulora.diffusion.sets.shards import WORK

    named = named_backbone(backbone)
    source = named.resolve() if isinstance(named, Path) else named
    begun = (out / PLAN).is_file() and not is_complete(out)
    digest = weights_digest(source, revision, cache=out / WORK / "digests.json" if begun else None)
    if isinstance(source, str) and revision is None:
        progress.note(f"{backbone}: no --revision is given; what the hub has under this name may change")
    return GenerationInputs(
        backbone=source,
        used=BackboneUsed(
            name=source.name if isinstance(source, Path) and backbone != DEMO else backbone, digest=digest
        ),
        revision=revision,
        architecture=architecture,
        loras=tuple(loras),
        start=None if start is None else _start(start),
    )


def _start(folder: Path) -> Path:
    """The image set to start from.

    Raises:
        ValueError: it is none.
    """
    from fulora.data.image import METADATA

    if not (folder / "train" / METADATA).is_file():
        raise ValueError(
            f"--start {folder}: is no image set with training images; `fulora data curate FOLDER` makes one"
        )
    return folder.resolve()


def _config(given: dict[str, Any], ingredients: "GenerationInputs", config: str | None) -> "GenerateConfig":
    """With the size that the backbone was made for and the clip skip of the LoRA, where nothing else is said."""
    from fulora.config import validated
    from fulora.diffusion.config import GenerateConfig

    values = dict(given)
    if "image_size_px" not in values:
        values["image_size_px"] = ingredients.native_size()
    headers = [trained_as(lora.path) for lora in ingredients.loras]
    if "clip_skip" not in values and any(header.clip_skip for header in headers):
        values["clip_skip"] = next(header.clip_skip for header in headers if header.clip_skip)
    found = validated(GenerateConfig, values, where=config or "settings")
    for lora, header in zip(ingredients.loras, headers, strict=True):
        check_lora(lora.used.name, header, found)
    return found
