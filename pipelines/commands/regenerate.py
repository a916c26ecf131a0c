"""`fulora regenerate`: synthetic images drawn again from what their files say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fulora import progress
from pipelines.backbones import ASSETS
from pipelines.commands.generate import DEMO

if TYPE_CHECKING:
    from fulora.diffusion.regenerate import Again


def regenerate(
    images: Annotated[list[Path], typer.Argument(help="Synthetic images, as `fulora generate` or a study wrote them.")],
    out: Annotated[Path, typer.Option("--out", help="File for one image, folder for several.")],
    backbone: Annotated[
        str | None, typer.Option(help="By default the one that the set's folder names, checked by its digest.")
    ] = None,
    lora: Annotated[list[Path] | None, typer.Option(help="LoRA files in the order they were put in.")] = None,
    start: Annotated[Path | None, typer.Option(help="The image set that image-to-image started from.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda, as the images were made on.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")] = False,
) -> None:
    """Draw synthetic images again, alone, and compare them with what they were; exit code 1 if pixels differ.

    Examples:

      fulora regenerate synthetic/train/images/brain-00000/synthetic_brain_00007.png --out again.png

      fulora regenerate found.png --out again.png --backbone sd15 --lora lora.safetensors
    """
    from fulora.diffusion.regenerate import Given, regenerate

    progress.show(not quiet)
    several = len(images) > 1 or out.is_dir()
    names = [path.name for path in images]
    if several and len(set(names)) < len(names):
        raise ValueError("several images have the same name and would overwrite each other in --out: give them apart")
    demo = ASSETS / "diffusion"
    source = None if backbone is None else (demo if backbone == DEMO else _place(backbone))
    given = Given(source, None if lora is None else tuple(lora), start, device)
    same = True
    (out if several else out.parent).mkdir(parents=True, exist_ok=True)
    for again in regenerate(images, given, demo):
        path = out / again.path.name if several else out
        said, equal = _written(again, path)
        print(f"{path}: {said}")
        same = same and equal
    if not same:
        raise typer.Exit(1)


def _place(backbone: str) -> Path | str:
    return Path(backbone) if Path(backbone).exists() or backbone.count("/") != 1 else backbone


def _written(again: "Again", path: Path) -> tuple[str, bool]:
    """Write a picture, and say how it compares with what it was; whether the pixels are equal."""
    import numpy as np
    from PIL import Image as Pil

    from fulora.diffusion.shard_writer import write_picture

    before = again.path.read_bytes()
    with Pil.open(again.path) as image:
        pixels = np.asarray(image)
    write_picture(path, again.new, again.drawn)
    if path.read_bytes() == before:
        return "the same bytes", True
    if again.new.sha256 == again.row.sha256:
        return "the same pixels; the record differs, for versions or hardware are others", True
    if pixels.shape != again.drawn.pixels.shape:
        return "another size; the file was changed since it was written", False
    difference = np.abs(pixels.astype(int) - again.drawn.pixels)
    return f"{(difference > 0).mean():.2%} of the pixels differ, by {difference.max()} gray levels at most", False
