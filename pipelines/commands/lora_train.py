"""`fulora lora train`: a LoRA from a folder of images and a backbone, without a study around it."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fulora import progress
from pipelines.backbones import ASSETS
from pipelines.commands.lora_publish import CARD, METRICS
from pipelines.commands.verify import typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from fulora.data.image_set import ImageSet
    from fulora.data.labels import Split
    from fulora.diffusion.config import LoraConfig
    from fulora.diffusion.models.architectures import Pipeline
    from fulora.diffusion.training.examples import Material

DEMO = "demo"
HELD: "tuple[Split, ...]" = ("train", "validation")
"""The splits whose images are encoded: trained on, and looked at while training."""


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
    test: Annotated[
        Path | None, typer.Option(help="An image set whose validation and test patients must not be trained on.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a hub id: a branch, tag or commit.")] = None,
    architecture: Annotated[
        Literal["sd1", "sd2-base", "sd2-v", "sdxl"] | None,
        typer.Option(help="Of a checkpoint file that does not tell."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count everything; train nothing.")] = False,
    work: Annotated[Path, typer.Option("--work", help="Folder that curated images are kept in.")] = Path("work"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No bars, no notes.")] = False,
) -> None:
    """Train a LoRA: exact to resume, in a file that diffusers reads.

    Examples:

      fulora lora train work/curate-0123456789abcdef --backbone sd15 --out lora --dry-run

      fulora lora train my_images images.patient_pattern='Patient(\\d+)' sizes=buckets rank=32 --backbone sd15

      accelerate launch --num_processes 4 -m pipelines lora train IMAGES --backbone sd15 batch_size=16 precision=bf16
    """
    from fulora.contents import write_list
    from fulora.diffusion.lora.files import FILE
    from fulora.diffusion.models.distinct_captions import said_of_alike
    from fulora.diffusion.models.loading import load_backbone
    from fulora.diffusion.sampling.ingredients import backbone_provenance
    from fulora.diffusion.training.image_sets import fit_material, lora_provenance, read_material
    from fulora.diffusion.training.plan import plan
    from fulora.training.processes import processes
    from fulora.workspace import name_of

    cfg, of_images = _settings(config, overrides or [])
    first = processes(cfg.device).first
    progress.show(first and not quiet)
    _check_out(out)
    others = _given(prior, "--prior"), _given(test, "--test")
    name, digest, source = _backbone(backbone, revision, work)

    def load() -> "Pipeline":
        return load_backbone(source, revision=revision, architecture=architecture)

    finished = (out / FILE).is_file() and not dry_run
    pipe, notes = _checked(images, of_images, cfg, None if finished else load)
    shown = _image_set(images, of_images, work)
    material = read_material(shown, *others, mask_channel=cfg.mask_channel)
    provenance = lora_provenance(f"LoRA {name_of(out)}", backbone_provenance(source, name), shown, *others)
    if not dry_run and _finished(out, cfg, digest, material):
        print(out / FILE)
        return
    pipe = pipe or load()
    if dry_run:
        print("\n".join([*plan(cfg, pipe, material).lines(), *notes, *said_of_alike(pipe, material.captions())]))
        return
    for line in notes if first else ():
        progress.note(line)
    step = fit_material(out, cfg, pipe, material, base_model=name, base_digest=digest, provenance=provenance)
    if first:
        write_list(out)
        progress.note(f"the weights after step {step} of {cfg.steps} are kept")
        print(out / FILE)


def _backbone(named: str, revision: str | None, work: Path) -> tuple[str, str, Path | str]:
    """What the LoRA's file calls the backbone, the digest of its content or its revision, and where it is."""
    from fulora.contents import content_digest

    source = ASSETS / "diffusion" if named == DEMO else Path(named)
    if source.exists():
        return (DEMO if named == DEMO else source.name), content_digest(source, work / ".digests.json")[:16], source
    return named, revision or "", named


def _check_out(out: Path) -> None:
    """Refuse a folder that holds anything else: a LoRA would be scattered among it.

    Raises:
        LoraError: `out` is a file, or holds what no training writes.
    """
    from fulora.contents import OF_THE_LIST
    from fulora.data.label_set import FILE as CLASSES
    from fulora.data.provenance import FILE as PROVENANCE
    from fulora.diffusion.lora.adapters import LoraError
    from fulora.diffusion.lora.card import KOHYA_FILE
    from fulora.diffusion.lora.files import FILE
    from fulora.diffusion.training.preview import SAMPLES
    from fulora.diffusion.training.train import LAST_GOOD
    from fulora.training.checkpoints import CHECKPOINTS

    ours = {FILE, KOHYA_FILE, LAST_GOOD, METRICS, PROVENANCE, CLASSES, SAMPLES, CHECKPOINTS, CARD, *OF_THE_LIST}
    if out.exists() and not out.is_dir():
        raise LoraError(f"{out}: is a file; --out names a folder for the LoRA")
    strange = sorted(path.name for path in out.glob("*") if path.name not in ours) if out.is_dir() else []
    if strange:
        raise LoraError(f"{out}: it holds something else ({strange[0]}): give --out a new folder")


def _given(folder: Path | None, option: str) -> "ImageSet | None":
    """The image set that an option names.

    Raises:
        LoraError: it is none.
    """
    from fulora.data.image import METADATA
    from fulora.data.image_set import ImageSet
    from fulora.data.labels import SPLITS
    from fulora.diffusion.lora.adapters import LoraError

    if folder is None:
        return None
    if not any((folder / split / METADATA).is_file() for split in SPLITS):
        what = "is not an image set" if folder.exists() else "is not there"
        raise LoraError(f"{folder}: {what}; {option} takes the folder that `fulora data curate FOLDER` prints")
    return ImageSet(folder, "")


def _finished(out: Path, cfg: "LoraConfig", base_digest: str, material: "Material") -> bool:
    """Whether `out` holds the LoRA that was asked for; a list of its files that is gone is written again.

    Raises:
        LoraError: it holds another one.
        DamagedArtifactError: it is not as it was made.
    """
    from fulora.config import identity
    from fulora.contents import LIST, check, write_list
    from fulora.diffusion.lora.adapters import LoraError
    from fulora.diffusion.lora.files import FILE
    from fulora.diffusion.lora.metadata import facts_in, settings_in
    from fulora.diffusion.lora.read import read_lora
    from fulora.diffusion.lora.training_facts import MADE_OF, TrainingFacts, made_of
    from fulora.diffusion.training.examples import counted

    if not (out / FILE).is_file():
        return False
    if (out / LIST).is_file():
        check(out)
    header = read_lora(out / FILE).metadata
    theirs = facts_in(header)
    ours = counted(TrainingFacts(base_digest=base_digest), material.images, material.validation, material.prior)
    if (settings_in(header), [theirs.get(name, "") for name in MADE_OF]) != (identity(cfg), made_of(ours)):
        raise LoraError(
            f"{out}: it holds another finished LoRA, of other images, another backbone or other settings: give another "
            "--out"
        )
    if not (out / LIST).is_file():
        write_list(out)
    return True


def _settings(config: str | None, overrides: list[str]) -> "tuple[LoraConfig, dict[str, object]]":
    """The LoRA's config, and what `images.KEY=VALUE` said."""
    from fulora.config import ConfigError, overridden, part, read_yaml, validated
    from fulora.diffusion.config import LoraConfig
    from pipelines.configs import config_path, shipped

    values = read_yaml(config_path(config), shipped()) if config else {"lora": {}}
    if "lora" not in values:
        raise ConfigError(f"{config}: it has no `lora:` part to take settings from")
    values = overridden(part(values, "lora", where=config or "settings"), overrides)
    of_images = part(values, "images", where="settings")
    values.pop("images", None)
    return validated(LoraConfig, values, where=config or "settings"), of_images


def _own_set(folder: Path, settings: dict[str, object]) -> "ImageSet | None":
    """The folder as an image set of fulora's own; None where it has to be curated first."""
    from fulora.data.image import METADATA, ManifestError
    from fulora.data.image_set import ImageSet

    if settings or not (folder / "train" / METADATA).is_file():
        return None
    found = ImageSet(folder, "")
    try:
        next(found.iter_rows("train"), None)
    except ManifestError:  # somebody else's imagefolder
        return None
    return found


def _checked(
    folder: Path, settings: dict[str, object], cfg: "LoraConfig", load: "Callable[[], Pipeline] | None"
) -> "tuple[Pipeline | None, list[str]]":
    """The backbone, and what the reader should know of it and the images, before anything is curated.

    Args:
        load: loads the backbone; None where it is not needed yet.

    Raises:
        ConfigError: all that would stop the training: no backbone, names that fit no pattern, unknown classes, sizes.
    """
    from fulora.diffusion.models.loading import BackboneError
    from fulora.intake.check.check_folder import curate_config
    from pipelines.checks.backbones import made_of
    from pipelines.checks.findings import Findings
    from pipelines.checks.images import Sources
    from pipelines.checks.sizes import check_lora_sizes

    found, own, pipe = Findings(), _own_set(folder, settings), None
    if own is not None:
        sizes = Counter((row.width, row.height) for split in HELD for row in own.rows(split))
    else:
        curating, root = curate_config(folder, {"fit": "native", **settings})
        sizes = Sources(found, root).expect("images", curating).sizes(*HELD)
    try:
        pipe = load() if load else None
    except BackboneError as error:
        found.problem("--backbone", str(error))
    check_lora_sizes(found, "", "images", cfg, sizes, None if pipe is None else made_of(pipe))
    found.stop(str(folder))
    return pipe, found.note_lines()


def _image_set(folder: Path, settings: dict[str, object], work: Path) -> "ImageSet":
    """The folder, if it is an image set, or else the one that curating it gives."""
    from fulora.engine import InProcess
    from fulora.intake.check.check_folder import curate_config
    from fulora.workspace import Workspace
    from pipelines.sources import curated

    if (own := _own_set(folder, settings)) is not None:
        return own
    curating, root = curate_config(folder, {"fit": "native", **settings})
    found = curated(curating, root, Workspace(work, InProcess(), command=typed()))
    progress.note(f"curated: {found.path}")
    return found
