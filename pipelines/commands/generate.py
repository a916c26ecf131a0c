"""`fulora generate`: synthetic images from a backbone and LoRAs, without a study."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fulora import progress
from pipelines.backbone_names import DEMO
from pipelines.commands.options import (
    Backbone,
    CheckpointArchitecture,
    CpusPerTask,
    EngineName,
    GpusPerTask,
    Quiet,
    Revision,
    engine_named,
)


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
        bool,
        typer.Option("--any-base", help="Use LoRAs even if their files are for another prediction type or family."),
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Label set whose classes are generated; default: the LoRA's, else that of --start, else fetal_planes.",
        ),
    ] = None,
    plane: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="May be given several times; all by default.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Images of each plane; a set with fewer, of the same settings, grows.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the set; the seed of each image is derived from it.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="PX|WxH", help="By default the size that the backbone was made for.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the images; a killed run continues in it.")] = Path(
        "synthetic"
    ),
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Generate every N-th shard from the I-th on; I counts from 0.")
    ] = "0/1",
    config: Annotated[
        str | None, typer.Option("--config", help="Take the `generate:` settings of this config, e.g. paper/fu_lora.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Image-to-image: start from the training images of this image set.")
    ] = None,
    revision: Revision = None,
    architecture: CheckpointArchitecture = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes on this machine that share the work, one a GPU.")
    ] = 1,
    engine: EngineName = "local",
    cpus: CpusPerTask = 1,
    gpus: GpusPerTask = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and print the cost.")] = False,
    quiet: Quiet = False,
) -> None:
    """Generate synthetic images: each from a seed of its own, the same whatever shard, order or process makes it.

    The same command with a larger --count adds the images that a set lacks, and keeps those that it has. A stopped run
    goes on by the same command, also one that lets a set grow; until it ends, the set counts as unfinished.

    Examples:

      fulora generate --lora kidneys/lora.safetensors --plane "left kidney" --count 100 --out left

      fulora generate --backbone sd15 --lora lora/lora.safetensors:0.8 --count 1000 --out synthetic --processes 4

      fulora generate --backbone sd15 --count 1000 --out synthetic --shard $SLURM_ARRAY_TASK_ID/16

      fulora generate --config paper/fu_lora --backbone sd15 --lora lora/lora.safetensors --out synthetic --dry-run
    """
    from fulora.config import overridden
    from fulora.diffusion.sets.forecast import describe_job
    from fulora.diffusion.sets.generation import generate_set
    from fulora.diffusion.sets.processes import generate_in_processes
    from fulora.training.devices import pick_device
    from pipelines.jobs.generate import plan_generation

    if processes > 1 and engine == "ray":
        raise ValueError("--processes is for this machine; with --engine ray the cluster says how many tasks run")
    progress.show(not quiet)
    planes = list(dict.fromkeys(plane)) if plane else None
    options = {"per_class": count, "seed": seed, "planes": planes, "image_size_px": _parse_size(size)}
    job = plan_generation(
        out,
        settings=overridden({key: value for key, value in options.items() if value is not None}, overrides or []),
        config=config,
        backbone=backbone,
        lora=lora or [],
        any_base=any_base,
        start=start,
        labels=labels,
        revision=revision,
        architecture=architecture,
    )
    part = _parse_part(shard)
    if engine == "local":
        pick_device(job.cfg.device)
    if dry_run:
        print("\n".join(describe_job(job, part)))
        return
    if processes > 1:
        command = [sys.executable, "-m", "pipelines", *sys.argv[1:], "--processes", "1", "--quiet"]
        missing = generate_in_processes(job, command, processes, part=part)
    else:
        missing = generate_set(job, engine_named(engine, cpus, gpus), part=part)
    total = len(job.shards)
    print(f"{job.out}: {total - len(missing)} of {total} shards are complete" if missing else job.out)


def _parse_size(text: str | None) -> int | list[int] | None:
    """Return the side of a square, or width and height.

    Raises:
        ValueError: if it is neither, or not a multiple of 8.
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


def _parse_part(text: str) -> tuple[int, int]:
    """Return I and N of I/N.

    Raises:
        ValueError: if they are not two numbers, or I is not below N.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ValueError(
            f"--shard {text}: give two numbers such as 0/4; the first counts from 0 and is below the second"
        )
    return int(index), int(count)
