"""`fulora lora train`: a LoRA from a folder of images and a backbone, without a study around it."""

from pathlib import Path
from typing import Annotated

import typer

from fulora import progress
from fulora.config import overridden, part
from pipelines.backbone_names import DEMO
from pipelines.commands.options import (
    Backbone,
    CheckpointArchitecture,
    ConfigOption,
    Overrides,
    Quiet,
    Revision,
    Work,
)
from pipelines.commands.output import print_table
from pipelines.commands.verify import typed


def train(
    images: Annotated[
        Path, typer.Argument(help="An image set, or any folder that `fulora data check` reads: it is curated first.")
    ],
    overrides: Overrides = None,
    backbone: Backbone = DEMO,
    out: Annotated[Path, typer.Option("--out", help="Folder for the LoRA; a stopped training continues in it.")] = Path(
        "lora"
    ),
    config: ConfigOption = None,
    prior: Annotated[Path | None, typer.Option(help="An image set that must not be forgotten.")] = None,
    test: Annotated[
        Path | None, typer.Option(help="An image set whose validation and test patients must not be trained on.")
    ] = None,
    revision: Revision = None,
    architecture: CheckpointArchitecture = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count everything; train nothing.")] = False,
    work: Work = Path("work"),
    quiet: Quiet = False,
) -> None:
    """Train a LoRA: exact to resume, in a file that diffusers reads. images.KEY=VALUE are settings of the curation.

    Examples:

      fulora lora train work/curate-0123456789abcdef --backbone sd15 --out lora --dry-run

      fulora lora train my_images images.patient_pattern='Patient(\\d+)' sizes=buckets rank=32 --backbone sd15

      accelerate launch --num_processes 4 -m pipelines lora train IMAGES --backbone sd15 batch_size=16 precision=bf16
    """
    from fulora.training.processes import join_processes
    from pipelines.jobs.train_lora import LoraJob, lora_config
    from pipelines.jobs.trainings import Training

    values = overridden({}, overrides or [])
    curation = part(values, "images", where="settings")
    values.pop("images", None)
    cfg = lora_config(config, values)
    first = join_processes(cfg.device).first
    progress.show(first and not quiet)
    job = LoraJob(
        images=images,
        out=out,
        cfg=cfg,
        backbone=backbone,
        curation=curation,
        prior=prior,
        tested_on=test,
        revision=revision,
        architecture=architecture,
        work=work,
        command=typed(),
    )
    if dry_run:
        print("\n".join(job.plan_lines()))
        return
    file = job.train()
    if first:
        print_table(Training("LoRA", file.parent).table)
        print(file)
