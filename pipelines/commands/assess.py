"""`fulora assess`: fidelity, diversity, copies, label truth and shortcuts of synthetic images."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import Device, DrawSeed, JsonFile
from pipelines.commands.output import write_json

DEFAULT = ("pixels", "hash", "clip")


def assess(
    synthetic: Annotated[Path, typer.Argument(help="Image set or folder of synthetic images.")],
    real: Annotated[Path, typer.Option(help="Image set or folder of real images of held-out patients.")],
    train: Annotated[
        Path | None, typer.Option(help="Images that trained the generator: then copies of patients are looked for.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Label set; by default that of the image sets, else the names of class folders.",
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="pixels, hash, clip, clip:FOLDER, timm:NAME[:FILE] or torchscript:FILE; several times."),
    ] = None,
    trust_encoder: Annotated[
        bool,
        typer.Option("--trust-encoder", help="Run the code of torchscript:FILE, which could write any of your files."),
    ] = False,
    clip: Annotated[
        Path | None,
        typer.Option(
            help="open_clip folder of the encoder `clip`, which also predicts classes; else the embedded one."
        ),
    ] = None,
    prompts: Annotated[str, typer.Option(help="YAML file of prompts; else those of the label set.")] = "",
    judges: Annotated[
        Path | None, typer.Option(help="Folder of a study's `train_judges`, which predict the classes.")
    ] = None,
    false_reject: Annotated[float, typer.Option(help="Share of real images that each filter may reject.")] = 0.05,
    draws: Annotated[int, typer.Option(min=100, help="Random divisions of patients in each test.")] = 9999,
    seed: DrawSeed = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps features, so that they are computed once.")
    ] = None,
    device: Device = "auto",
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page with images, tables and curves to this folder, and the rows of --out."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the rows of all images, which `fulora mix --assessment` reads.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Fidelity, diversity, copies, label truth and shortcuts of synthetic images, with real images as reference.

    `--real SET --train SET` of one image set takes its training split as that of the generator, and compares with its
    validation patients (those of the test split if there are none).

    A test without a finding means no evidence of copies; it does not prove privacy.

    Examples:

      fulora assess work/generate-0123456789abcdef --real work/curate-89abcdef --train work/curate-89abcdef

      fulora assess synthetic --real my_real_pictures --encoder pixels --encoder timm:resnet18:weights.safetensors

      fulora assess synthetic --real held_out --encoder torchscript:sscd_disc_mixup.torchscript.pt --trust-encoder

      fulora assess synthetic --real held_out --train trained_on --report page --json figures.json

      fulora assess synthetic --real planes --train planes --out assessment
    """
    from pipelines.jobs.assess import assess as assess_images

    result = assess_images(
        synthetic,
        real,
        train=train,
        out=out,
        report=report,
        encoders=tuple(encoder or DEFAULT),
        trust_encoder=trust_encoder,
        labels=labels,
        prompts=prompts,
        clip=clip,
        judges=judges,
        false_reject=false_reject,
        draws=draws,
        seed=seed,
        cache=cache,
        device=device,
    )
    if write_json(json_file, result.to_json()):
        return
    print("\n".join([*result.verdicts, *map(str, result.paths)]))
