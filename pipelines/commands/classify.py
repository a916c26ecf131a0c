"""`fulora classify`: train a classifier, and predict with it."""

from pathlib import Path

import typer

from fulora import progress
from pipelines.commands.options import ConfigOption, Device, JsonFile, Overrides, Quiet, Work
from pipelines.commands.trainings import DryRun, Out, Start, TrainingSet, run_training, split_settings
from pipelines.commands.verify import typed

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Classifiers: train one, predict with it.")


@app.command("train")
def train_classifier(
    images: TrainingSet,
    overrides: Overrides = None,
    out: Out = Path("classifier"),
    config: ConfigOption = None,
    start: Start = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    json_file: JsonFile = None,
    work: Work = Path("work"),
    quiet: Quiet = False,
) -> None:
    """Train a classifier on real, synthetic or mixed images; exact to resume.

    Validation patients select the weights. Its patients and images are listed in its folder: they are refused in tests.
    images.KEY=VALUE are settings of the curation, if SET is curated first.

    Examples:

      fulora classify train hybrid --out classifier --dry-run

      fulora classify train hybrid --out classifier steps=2000 architecture=timm/convnext_tiny stem=imagenet

      fulora classify train my_images images.patient_pattern='Patient(\\d+)' --config study --out classifier
    """
    from pipelines.jobs.train_classifier import ClassifierJob, classifier_config

    progress.show(not quiet)
    settings, curation = split_settings(overrides)
    cfg = classifier_config(config, settings, device)
    job = ClassifierJob(images, out, cfg, start, curation=curation, work=work, command=typed())
    run_training(job, dry_run=dry_run, json_file=json_file)
