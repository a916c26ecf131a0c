"""`fulora regenerate`: synthetic images drawn again from what their files say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fulora import progress
from pipelines.backbones import ASSETS, DEMO
from pipelines.commands.options import Device, Quiet

if TYPE_CHECKING:
    from fulora.diffusion.sets.regenerate import RegeneratedImage


def regenerate(
    images: Annotated[list[Path], typer.Argument(help="Synthetic images, as `fulora generate` or a study wrote them.")],
    out: Annotated[Path, typer.Option("--out", help="File for one image, folder for several.")],
    backbone: Annotated[
        str | None, typer.Option(help="By default the one that the set's folder names, checked by its digest.")
    ] = None,
    lora: Annotated[list[Path] | None, typer.Option(help="LoRA files in the order they were put in.")] = None,
    start: Annotated[Path | None, typer.Option(help="The image set that image-to-image started from.")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Draw synthetic images again, alone, and compare them with what they were; exit code 1 if pixels differ.

    Examples:

      fulora regenerate synthetic/train/images/kidney-00000/synthetic_kidney_00007.png --out again.png

      fulora regenerate found.png --out again.png --backbone sd15 --lora lora.safetensors
    """
    from fulora.diffusion.sets.regenerate import Given, regenerate

    progress.show(not quiet)
    places = _places(images, out)
    demo = ASSETS / "diffusion"
    source = None if backbone is None else (demo if backbone == DEMO else _place(backbone))
    given = Given(source, None if lora is None else tuple(lora), start, device)
    same = True
    for again in regenerate(images, given, demo):
        said, equal = _written(again, places[again.path])
        print(f"{places[again.path]}: {said}")
        same = same and equal
    if not same:
        raise typer.Exit(1)


def _places(images: list[Path], out: Path) -> dict[Path, Path]:
    """The file that each image is drawn into.

    Raises:
        ValueError: no PNG, one file for two images, or an image itself.
    """
    several = len(images) > 1 or out.is_dir()
    places = {image: out / image.name if several else out for image in images}
    if len(set(places.values())) < len(places):
        raise ValueError("several images have the same name and would overwrite each other in --out: give them apart")
    if not several and out.suffix != ".png":
        raise ValueError(f"--out {out}: give a file that ends in .png, or a folder that is there")
    for image, place in places.items():
        if place.resolve() == image.resolve():
            raise ValueError(f"--out {out}: would overwrite {image}; give another place")
    return places


def _place(backbone: str) -> Path | str:
    return Path(backbone) if Path(backbone).exists() or backbone.count("/") != 1 else backbone


def _written(again: "RegeneratedImage", path: Path) -> tuple[str, bool]:
    """Write a picture, and say how it compares with what it was; whether the pixels are equal."""
    import numpy as np

    from fulora.data.pictures.decoding import open_picture
    from fulora.diffusion.sets.shard_writer import write_image

    before = again.path.read_bytes()
    with open_picture(again.path) as image:
        pixels = np.asarray(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, again.new, again.drawn)
    if path.read_bytes() == before:
        return "the same bytes", True
    if np.array_equal(pixels, again.drawn.pixels):
        if again.new == again.row:
            return "the same pixels; the file was saved anew since it was written", True
        return "the same pixels; the record differs, for versions or hardware are others", True
    if pixels.shape != again.drawn.pixels.shape:
        return "another size; the file was changed since it was written", False
    difference = np.abs(pixels.astype(int) - again.drawn.pixels)
    return f"{(difference > 0).mean():.2%} of the pixels differ, by {difference.max()} gray levels at most", False
