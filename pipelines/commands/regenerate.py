"""`fulora regenerate`: generate synthetic images again from the recipes in their files."""

from pathlib import Path
from typing import Annotated

import typer

from fulora import progress
from pipelines.backbone_names import ASSETS, DEMO
from pipelines.commands.options import Device, Quiet


def regenerate(
    images: Annotated[list[Path], typer.Argument(help="Synthetic images, as `fulora generate` or a study wrote them.")],
    out: Annotated[Path, typer.Option("--out", help="File for one image, folder for several.")],
    backbone: Annotated[
        str | None, typer.Option(help="By default the one that the set's folder names, checked by its digest.")
    ] = None,
    lora: Annotated[list[Path] | None, typer.Option(help="LoRA files in their order of use.")] = None,
    start: Annotated[Path | None, typer.Option(help="The image set that image-to-image started from.")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Generate synthetic images again and compare them with their files; exit code 1 if pixels differ.

    Examples:

      fulora regenerate synthetic/train/images/kidney-00000/synthetic_kidney_00007.png --out again.png

      fulora regenerate found.png --out again.png --backbone sd15 --lora lora.safetensors
    """
    from fulora.diffusion.sets.recipe_inputs import InputOverrides
    from fulora.diffusion.sets.regenerate import regenerate

    progress.show(not quiet)
    targets = _targets(images, out)
    demo = ASSETS / "diffusion"
    source = None if backbone is None else (demo if backbone == DEMO else _path_or_hub_id(backbone))
    overrides = InputOverrides(source, None if lora is None else tuple(lora), start, device)
    all_equal = True
    for again in regenerate(images, overrides, demo):
        target = targets[again.path]
        description, is_equal = again.write(target)
        print(f"{target}: {description}")
        all_equal = all_equal and is_equal
    if not all_equal:
        raise typer.Exit(1)


def _targets(images: list[Path], out: Path) -> dict[Path, Path]:
    """Return the file that each image is written to.

    Raises:
        ValueError: if it is no PNG, one file for two images, or an image itself.
    """
    is_folder = len(images) > 1 or out.is_dir()
    targets = {image: out / image.name if is_folder else out for image in images}
    if len(set(targets.values())) < len(targets):
        raise ValueError("several images have the same name and would overwrite each other in --out: give them apart")
    if not is_folder and out.suffix != ".png":
        raise ValueError(f"--out {out}: give a file that ends in .png, or an existing folder")
    for image, target in targets.items():
        if target.resolve() == image.resolve():
            raise ValueError(f"--out {out}: would overwrite {image}; give another place")
    return targets


def _path_or_hub_id(backbone: str) -> Path | str:
    return Path(backbone) if Path(backbone).exists() or backbone.count("/") != 1 else backbone
