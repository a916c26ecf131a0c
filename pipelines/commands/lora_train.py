"""`fulora lora train`: a LoRA from a folder of images and a backbone, without a study around it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fulora import progress
from pipelines.backbones import ASSETS

if TYPE_CHECKING:
    from fulora.data.manifest import ImageSet
    from fulora.diffusion.config import LoraConfig

DEMO = "demo"


def train(
    images: Annotated[
        Path, typer.Argument(help="An image set, or any folder that `fulora data check` reads: it is curated first.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings, e.g. rank=32 steps=2000; images.KEY=VALUE for curation."
        ),
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="A diffusers folder, a .safetensors checkpoint, a hub id, or `demo`, the embedded one.")
    ] = DEMO,
    out: Annotated[Path, typer.Option("--out", help="Folder for the LoRA; a killed run continues in it.")] = Path(
        "lora"
    ),
    config: Annotated[
        str | None, typer.Option("--config", help="Take the `lora:` settings of this config, e.g. paper/fu_lora.")
    ] = None,
    prior: Annotated[Path | None, typer.Option(help="An image set that must not be unlearned.")] = None,
    test: Annotated[Path | None, typer.Option(help="An image set of the test: no patient or picture may be in it.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of a hub id: a branch, tag or commit.")] = None,
    architecture: Annotated[
        str | None, typer.Option(help="Of a checkpoint file that does not tell: sd1, sd2-base, sd2-v or sdxl.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count everything; train nothing.")] = False,
    work: Annotated[Path, typer.Option("--work", help="Folder that curated images are kept in.")] = Path("work"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No bars, no notes.")] = False,
) -> None:
    """Train a LoRA: exact to resume, in a file that diffusers reads.

    Examples:

      fulora lora train work/curate-0123456789abcdef --backbone sd15 --out lora --dry-run

      fulora lora train my_images images.patient_pattern='Patient(\\d+)' sizes=buckets rank=32 steps=2000 --backbone sd15

      accelerate launch --num_processes 4 -m pipelines lora train IMAGES --backbone sd15 batch_size=16 precision=bf16
    """
    from fulora.diffusion.backbone import load_backbone
    from fulora.diffusion.examples import load_examples
    from fulora.diffusion.lora_files import FILE
    from fulora.diffusion.train import fit

    progress.show(not quiet and os.environ.get("RANK", "0") == "0")
    cfg, of_images = _settings(config, overrides or [])
    real = _image_set(images, of_images, work)
    rows, held_out = real.rows("train"), real.rows("validation")
    source = ASSETS / "diffusion" if backbone == DEMO else backbone
    pipe = load_backbone(source, revision=revision, architecture=architecture)
    fit(
        out,
        cfg,
        pipe,
        load_examples(real, rows),
        validation=load_examples(real, held_out) if held_out else None,
    )
    print(out / FILE)


def _settings(config: str | None, overrides: list[str]) -> "tuple[LoraConfig, dict[str, object]]":
    """The LoRA's config, and what `images.KEY=VALUE` said."""
    from fulora.config import overridden, read_yaml, validated
    from fulora.diffusion.config import LoraConfig
    from pipelines.configs import config_path, shipped

    base = read_yaml(config_path(config), shipped()).get("lora", {}) if config else {}
    values = overridden(base, overrides)
    of_images = dict(values.pop("images", {}))
    return validated(LoraConfig, values, where=config or "settings"), of_images


def _image_set(folder: Path, settings: dict[str, object], work: Path) -> "ImageSet":
    """The folder, if it is an image set, or else the one that curating it gives."""
    from fulora.data.manifest import METADATA, ImageSet, ManifestError
    from fulora.engine import InProcess
    from fulora.intake.inspection import curate_config
    from fulora.workspace import Workspace
    from pipelines.sources import curated

    if (folder / "train" / METADATA).is_file() and not settings:
        found = ImageSet(folder, "")
        try:
            next(found.iter_rows("train"), None)
            return found
        except ManifestError:  # somebody else's imagefolder
            pass
    curating, root = curate_config(folder, {"fit": "native", **settings})
    found = curated(curating, root, Workspace(work, InProcess()))
    progress.console.print(f"curated: {found.path}", soft_wrap=True)
    return found
