"""`fulora data phantoms`: a folder of drawn images to try every command on."""

from pathlib import Path
from typing import Annotated

import typer


def phantoms(
    to: Annotated[Path, typer.Option("--to", help="New folder.")],
    plane: Annotated[
        list[str] | None, typer.Option(help="A plane to draw, several times; default: five, with --masks a head.")
    ] = None,
    per_plane: Annotated[int, typer.Option("--per-plane", min=1, help="Images of each plane, two a patient.")] = 20,
    site: Annotated[str, typer.Option(help="Population and machine: base1 to base3, A, B, C or D.")] = "A",
    first_patient: Annotated[
        int, typer.Option("--first-patient", min=0, help="Its number, so that two folders share no patient.")
    ] = 0,
    size_px: Annotated[int, typer.Option("--size-px", min=32, help="Width and height.")] = 128,
    seed: Annotated[int, typer.Option(help="Of all anatomy and noise.")] = 0,
    masks: Annotated[bool, typer.Option("--masks", help="One plane with masks and pixel sizes.")] = False,
) -> None:
    """Draw phantoms into a folder that looks like your own images: something to try every command on.

    No patient was scanned for them. Class folders hold files such as P0003_1.png, so patient_pattern='(P\\d+)'. With
    --masks there are the folders images and masks, and pixel_sizes.csv.

    Examples:

      fulora data phantoms --to planes

      fulora data phantoms --to elsewhere --site B --first-patient 1000 --per-plane 40

      fulora data phantoms --to heads --masks --per-plane 40
    """
    from fulora.intake.phantom_folder import write_phantom_folder

    count = write_phantom_folder(
        to,
        planes=plane or (),
        per_plane=per_plane,
        site=site,
        first_patient=first_patient,
        size_px=size_px,
        seed=seed,
        masks=masks,
    )
    print(f"{count} phantoms in {to}")
