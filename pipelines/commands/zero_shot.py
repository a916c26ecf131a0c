"""`fulora zero-shot`: classification by prompts, by one or several CLIPs and sets of prompts."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fulora import progress
from pipelines.commands.options import Device, DrawSeed, JsonFile, Overrides, Quiet, Work
from pipelines.commands.output import print_table, write_json
from pipelines.commands.trainings import curation_settings
from pipelines.commands.verify import typed


def zero_shot(
    images: Annotated[Path, typer.Argument(help="An image set, a folder with classes, or pictures without labels.")],
    overrides: Overrides = None,
    out: Annotated[
        Path, typer.Option("--out", help="New folder for predictions, scores, embeddings, a figure.")
    ] = Path("zero_shot"),
    clip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FOLDER|hub:OWNER/NAME[@REVISION]|demo",
            help="In open_clip's layout, tuned ones too; several times. Default: demo, the embedded one.",
        ),
    ] = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            metavar='[NAME=]FILE.yaml|"[NAME: ]CLASS=PROMPT; ..."|labels',
            help="A set of prompts, several times. Default: labels, those of the images' label set.",
        ),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test", "all"], typer.Option(help="Of an image set: what is predicted on.")
    ] = "test",
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Classes are unknown: no scores.")] = False,
    leave_out: Annotated[
        list[str] | None, typer.Option("--leave-out", metavar="CLASS", help="Leave out its images; several times.")
    ] = None,
    train: Annotated[Path | None, typer.Option(help="Image set for the heads; default: IMAGES.")] = None,
    probe: Annotated[
        Literal["linear"] | None, typer.Option(help="Also a linear probe on the embeddings of training images.")
    ] = None,
    tip: Annotated[bool, typer.Option("--tip", help="Also Tip-Adapter: prompts and training images.")] = False,
    few_shot: Annotated[
        list[int] | None,
        typer.Option("--few-shot", metavar="K", min=1, help="Heads on K training images a class; several times."),
    ] = None,
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws of patients; 10000 for a paper.")] = 2000,
    seed: DrawSeed = 0,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, list what would be made.")] = False,
    work: Work = Path("work"),
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Classify images by prompts: scores with patient-clustered intervals, and all models compared on the same images.

    Every CLIP is used with every set of prompts. The classes are those of the prompts. images.KEY=VALUE are settings of
    the curation of a folder that is no image set. Embeddings are kept in --work and computed once.

    Examples:

      fulora zero-shot work/curate-0123456789abcdef --clip demo --clip weights/fetalclip --out zero

      fulora zero-shot planes --clip demo --prompts labels --prompts "mine: liver=a fetal liver; spleen=a spleen"

      fulora zero-shot my_images images.patient_pattern='Patient(\\d+)' --clip hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K

      fulora zero-shot work/curate-0123456789abcdef --probe linear --tip --few-shot 4 --few-shot 16 --out few

      fulora zero-shot pictures --unlabelled --prompts mine.yaml --out predicted
    """
    from pipelines.jobs.zero_shot import plan_table, run_comparison
    from pipelines.jobs.zero_shot_arms import Head
    from pipelines.jobs.zero_shot_plan import plan_comparison

    progress.show(not quiet)
    heads: list[Head] = [] if probe is None else [probe]
    if tip:
        heads.append("tip")
    compared = plan_comparison(
        images,
        clip=clip or ["demo"],
        prompts=prompts or [],
        settings=curation_settings(overrides),
        split=split,
        unlabelled=unlabelled,
        leave_out=leave_out or [],
        train=train,
        heads=heads,
        few_shot=few_shot or [],
        draws=draws,
        seed=seed,
        device=device,
        work=work,
        command=typed(),
    )
    if dry_run:
        print_table(plan_table(compared, out, work))
        return
    result = run_comparison(compared, out, work, command=typed())
    if write_json(json_file, result.to_json()):
        return
    print_table(result.table)
    if result.comparisons.rows:
        print_table(result.comparisons)
    for path in result.files():
        print(path)
