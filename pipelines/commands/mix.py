"""`fulora mix`: real and synthetic images as one set."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fulora import progress
from pipelines.commands.options import JsonFile, Quiet, Work
from pipelines.commands.output import print_table, write_json
from pipelines.commands.verify import typed


def mix(
    real: Annotated[
        Path,
        typer.Argument(
            metavar="REAL", help="Image set, or any folder that `fulora data check` reads: it is curated first."
        ),
    ],
    synthetic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SYNTHETIC|KEY=VALUE",
            help="Sets of `fulora generate`, or folders of class folders of other tools; then further settings "
            "(`fulora/data/hybrid.py`), and images.KEY=VALUE for the curation of REAL.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="New folder for the set.")] = Path("hybrid"),
    ratio: Annotated[float, typer.Option(help="Added images per real training image.")] = 1.0,
    per_plane: Annotated[
        int | None,
        typer.Option(min=1, help="Keep so many real training images of each class; --ratio counts from these."),
    ] = None,
    filters: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: blank, duplicate; with --assessment brightness, near_duplicate, memorised, clip, "
            "plane; or none. By default blank,duplicate, and memorised with --assessment."
        ),
    ] = None,
    assessment: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="Folder of `fulora assess --out` or --report, or of a study's assess."),
    ] = None,
    arm: Annotated[
        Literal["hybrid", "duplicated", "augmented", "none"],
        typer.Option(help="What is added: synthetic images, or copies of the real ones as a control."),
    ] = "hybrid",
    test_split: Annotated[
        Literal["keep", "drop"],
        typer.Option(
            help="keep: copy the real test split, so that the set can be trained and tested on as it is, and whoever "
            "opens it finds what was held out. drop: leave it out, as studies do, which test on REAL."
        ),
    ] = "keep",
    generator: Annotated[
        str, typer.Option(help="Name of the generator of folders of other tools; else the folder's name.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be added and is available; write nothing.")
    ] = False,
    work: Work = Path("work"),
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Mix real images with synthetic ones, or with copies as a control, into one set that is checked for leaks.

    Synthetic images go to the training split only. Generators and filters may not know a patient of the test split,
    nor generators one of the validation split. Any tool that reads imagefolders opens the set.

    Examples:

      fulora mix work/curate-0123456789abcdef synthetic --ratio 2 --out hybrid

      fulora mix planes synthetic images.role=train+validation+test images.label_set=fetal_planes --dry-run

      fulora assess synthetic --real planes --train planes --out assessment

      fulora mix planes synthetic --assessment assessment --filters memorised,near_duplicate --out hybrid

      fulora mix planes --arm duplicated --ratio 2 --out control
    """
    from fulora.config import overridden
    from pipelines.jobs.mix import build_request, make_mix
    from pipelines.jobs.mix_plan import plan_mix

    progress.show(not quiet)
    folders = [text for text in synthetic or [] if Path(text).exists() or "=" not in text]
    request = build_request(
        real,
        folders,
        ratio=ratio,
        per_plane=per_plane,
        filters=None if filters is None else [name for name in filters.split(",") if name not in ("", "none")],
        assessment=assessment,
        arm=arm,
        settings=overridden({}, [text for text in synthetic or [] if text not in folders]),
        generator=generator,
        work=work,
    )
    if dry_run:
        plan = plan_mix(request)
        if not write_json(json_file, plan.to_json()):
            print_table(plan)
        return
    mixed = make_mix(request, out, test_split, typed())
    if not write_json(json_file, {"path": str(mixed.path), **mixed.table.to_json()}):
        print_table(mixed.table)
        print(mixed.path)
