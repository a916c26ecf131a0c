"""`fulora segment`: train a segmentation network, and draw the masks of a folder of images with several."""

from pathlib import Path
from typing import Annotated

import typer

from fulora import progress
from pipelines.commands.options import ConfigOption, Device, JsonFile, Overrides, Quiet, Work
from pipelines.commands.trainings import DryRun, Out, Start, TrainingSet, run_training, split_settings
from pipelines.commands.verify import typed

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Segmentation: train a network, predict masks.")


@app.command("train")
def train_unet(
    images: TrainingSet,
    overrides: Overrides = None,
    out: Out = Path("unet"),
    config: ConfigOption = None,
    start: Start = None,
    device: Device = "auto",
    dry_run: DryRun = False,
    json_file: JsonFile = None,
    work: Work = Path("work"),
    quiet: Quiet = False,
) -> None:
    """Train a segmentation network on images with masks; exact to resume.

    The label set of the images says which value of a mask is which structure. Validation patients select the weights.
    images.KEY=VALUE are settings of the curation, if SET is curated first.

    Examples:

      fulora segment train heads --out unet encoder=resnet34 image_size_px=256 steps=5000 --dry-run

      fulora segment train data/hc18 images.kind=hc18 --config segmentation --out unet
    """
    from pipelines.jobs.train_unet import UnetJob, unet_config

    progress.show(not quiet)
    settings, curation = split_settings(overrides)
    job = UnetJob(
        images, out, unet_config(config, settings, device), start, curation=curation, work=work, command=typed()
    )
    run_training(job, dry_run=dry_run, json_file=json_file)


@app.command("predict")
def segment(
    pictures: Annotated[
        Path, typer.Argument(help="Folder of images: PNG and others, MHA; in any subfolders; masks are skipped.")
    ],
    unet: Annotated[
        list[Path], typer.Option(help="Folder of a trained network (train_unet-...); several are averaged.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the masks: NAME.png with class numbers.")],
    flip: Annotated[bool, typer.Option(help="Average over each image and its mirror image.")] = False,
    raw: Annotated[bool, typer.Option(help="Leave masks as predicted: keep small pieces and holes.")] = False,
    overlays: Annotated[Path | None, typer.Option(help="Write a PNG with the outlines on some images.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 16,
    device: Device = "auto",
) -> None:
    """Segment images of any size with one network, or with the mean of several; masks have the sizes of their images.

    Which class number is which structure is printed, and written beside the masks (`label_set.json`), where `fulora
    measure` reads it. Networks of different structures are not averaged. Images that a network, or a model it is based
    on, learned from are refused. For research only, never for patient care.

    Examples:

      fulora segment predict pictures --unet work/train_unet-0123456789abcdef --out masks

      fulora segment predict pictures --unet fold0 --unet fold1 --unet fold2 --flip --out masks --overlays look.png

      fulora measure hc masks --pixel-sizes pixel_sizes.csv --out hc.csv
    """
    from pipelines.jobs.segment import segment as segment_pictures

    segmented = segment_pictures(pictures, unet, out, flip=flip, raw=raw, batch_size=batch_size, device=device)
    if overlays is not None:
        overlays.write_bytes(segmented.png())
    result = segmented.result
    meaning = ", ".join(f"{number} is {name}" for number, name in result.structures.items())
    print(f"{result.masks} masks in {out}: {meaning}" + (f"; {result.empty} are empty" if result.empty else ""))
