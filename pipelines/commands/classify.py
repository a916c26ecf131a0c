"""`fulora classify`: train a classifier, and predict with it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fulora import progress
from pipelines.commands.options import ConfigOption, Device, JsonFile, Overrides, Quiet, Work
from pipelines.commands.output import print_table, write_json
from pipelines.commands.trainings import (
    DryRun,
    Out,
    Start,
    TrainingSet,
    curation_settings,
    run_training,
    split_settings,
    table_facts,
)
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


@app.command("predict")
def classify(
    model: Annotated[Path, typer.Argument(help="Folder of a classifier.")],
    images: Annotated[Path, typer.Argument(help="An image set, or any folder of images, with or without labels.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[images.KEY=VALUE]...", help="Settings of the curation, if IMAGES is curated first."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the predictions.")] = Path("predictions"),
    also: Annotated[
        list[Path] | None,
        typer.Option(help="A further classifier, compared with MODEL on the same images; may be given several times."),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test", "all"],
        typer.Option(help="Of an image set: the split that is predicted on."),
    ] = "test",
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="No class is known: ignore folders and lists, and give no scores.")
    ] = False,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Leave images of this class out; may be given several times."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Bootstrap draws of patients; 10000 for a paper.")] = 2000,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print images, classifiers and device; predict nothing.")
    ] = False,
    json_file: JsonFile = None,
    work: Work = Path("work"),
    quiet: Quiet = False,
) -> None:
    """Predict the class of every image; scores with patient-clustered intervals at once where images are labelled.

    Writes predictions.csv, with a probability for each class, and of labelled images scores.csv and confusion.png.
    Images and patients that a classifier, or a model it is based on, learned from are refused.

    Examples:

      fulora classify predict classifier african_planes --out predictions

      fulora classify predict hybrid planes --also real --out compared --json scores.json

      fulora classify predict classifier new_pictures --out predictions
    """
    from pipelines.jobs.classify import ClassifyJob

    progress.show(not quiet)
    job = ClassifyJob(
        models=(model, *(also or ())),
        images=images,
        out=out,
        split=split,
        unlabelled=unlabelled,
        leave_out=tuple(leave_out or ()),
        curation=curation_settings(overrides),
        draws=draws,
        device=device,
        work=work,
        command=typed(),
    )
    result = None if dry_run else job.predict()
    tables = job.planned() if result is None else result.tables
    if write_json(json_file, {"path": None if result is None else str(result.path), "tables": table_facts(tables)}):
        return
    for table in tables:
        print_table(table)
    for file in () if result is None else result.files:
        print(file)
