"""`fulora clip`: tune a CLIP."""

from pathlib import Path
from typing import Annotated

import typer

from fulora import progress
from pipelines.commands.options import Device, JsonFile, Overrides, Quiet, Work
from pipelines.commands.trainings import DryRun, Out, TrainingSet, run_training, split_settings
from pipelines.commands.verify import typed

HELP = "CLIP: tune one on images of your classes."
app = typer.Typer(no_args_is_help=True, add_completion=False, help=HELP)


@app.callback(help=HELP)
def group() -> None:
    """Group the commands, also if there is only one."""


@app.command("tune")
def tune_clip(
    images: TrainingSet,
    overrides: Overrides = None,
    clip: Annotated[
        str, typer.Option(help="A folder in open_clip's layout, hub:OWNER/NAME, or demo, the embedded one.")
    ] = "demo",
    out: Out = Path("tuned_clip"),
    device: Device = "auto",
    dry_run: DryRun = False,
    json_file: JsonFile = None,
    work: Work = Path("work"),
    quiet: Quiet = False,
) -> None:
    """Tune a CLIP on images of your classes; open_clip loads the result.

    method=ce trains the image tower against the prompts, flyp both towers with captions, lora low-rank adapters, which
    are merged at the end; wise_ft=0.5 is halfway between the old and the tuned weights. images.KEY=VALUE are settings
    of the curation, if SET is curated first.

    Examples:

      fulora clip tune hybrid --clip my_clip --out tuned method=lora steps=500 --dry-run

      fulora clip tune hybrid --clip hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K --out tuned method=flyp wise_ft=0.5
    """
    from pipelines.jobs.tune_clip import ClipJob, tuning_config

    progress.show(not quiet)
    settings, curation = split_settings(overrides)
    job = ClipJob(images, out, tuning_config(settings, device), clip, curation=curation, work=work, command=typed())
    run_training(job, dry_run=dry_run, json_file=json_file)
