"""`fulora export`."""

from pathlib import Path
from typing import Annotated

import typer

from fulora import progress
from fulora.export.card import CardConfig, Format
from pipelines.commands.options import Quiet


def export(
    image_set: Annotated[Path, typer.Argument(help="An image set's folder, as `run` and `data curate` print it.")],
    out: Annotated[Path, typer.Option("--out", help="New folder to write.")],
    format: Annotated[Format, typer.Option(help="What to write.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="For the card: title, licence, description, citations, contact."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="kohya: how often its trainer shows each image per epoch.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Export an image set, with a data set card, for other tools; synthetic images stay marked as synthetic.

    Examples:

      fulora export work/mix-0123456789abcdef --format parquet --out hybrid licence=cc-by-4.0

      fulora export work/curate-0123456789abcdef --format kohya --out planes --repeats 20
    """
    from fulora.config import overridden, validated
    from fulora.data.image_set import ImageSet
    from fulora.export.export import export

    progress.show(not quiet)
    card = validated(CardConfig, overridden({}, overrides or []), where="card")
    print(export(ImageSet(image_set, ""), format, out, card=card, repeats=repeats))
