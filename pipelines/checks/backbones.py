"""Whether a study's backbone and CLIP are there, and which picture sizes the backbone was made for."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fulora.stage import RECORD, Call
from pipelines.backbones import ASSETS, BackboneConfig, Demo, Folders, Hub, OnSite
from pipelines.checks.findings import Findings
from pipelines.stages.fetch import HubRepository, fetch_backbone, fetch_clip

if TYPE_CHECKING:
    from fulora.diffusion.models.architectures import Pipeline

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHTS = ("unet", "vae", "text_encoder")
DIFFUSERS = f"a folder in diffusers' layout (model_index.json, {', '.join(f'{part}/' for part in PARTS)})"
FIRST_FILES = {"fetch_backbone": "model_index.json", "fetch_clip": "open_clip_config.json"}
"""By stage that fetches published weights, the file that tells whether they are there."""

CLIP = "open_clip_config.json and open_clip_model.safetensors"


class Made(NamedTuple):
    """What a backbone was made for.

    Attributes:
        side_px: of the square pictures it was trained on; None where that is not known.
        latent_px: sides of generated pictures are multiples of it.
        halved_px: sides of pictures that a LoRA is trained on are multiples of it.
    """

    side_px: int | None
    latent_px: int
    halved_px: int


def check_backbone(
    found: Findings, where: str, config: BackboneConfig, work: Path, *, clip: bool = True
) -> Made | None:
    """Check that weights are there. Returns what the backbone was made for, where its configs tell.

    Args:
        where: the config's path, such as `backbone`.
        work: the folder of artifacts, where published weights may be already.
        clip: whether the study reads the CLIP as well.
    """
    match config:
        case Demo():
            return made_for(ASSETS / "diffusion")
        case Folders():
            if clip:
                _check_clip(found, f"{where}.clip", config.clip)
            return _check_diffusion(found, f"{where}.diffusion", config.diffusion)
        case Hub():
            if clip:
                _published(found, f"{where}.clip", config.clip, fetch_clip.call(config.clip), work)
            fetching = fetch_backbone.call(config.diffusion)
            here = _published(found, f"{where}.diffusion", config.diffusion, fetching, work)
            return None if here is None else made_for(here)
        case OnSite():
            side = None if config.images.fit == "native" else config.images.image_size_px
            latent = config.diffusion.latent_downsampling
            return Made(side, latent, latent * 2 ** (len(config.diffusion.unet_channels) - 1))


def _check_diffusion(found: Findings, where: str, path: Path) -> Made | None:
    if not path.exists():
        found.problem(where, f"{path} is not there. Place a diffusers folder there, or set {where}=FOLDER.")
    elif path.is_file():
        if path.suffix != ".safetensors":
            found.problem(
                where,
                f"{path}: is a {path.suffix or 'file without ending'}; give {DIFFUSERS}, or one "
                ".safetensors checkpoint",
            )
    else:
        missing = [part for part in ("model_index.json", *PARTS) if not (path / part).exists()]
        missing += [f"{part}/*.safetensors" for part in WEIGHTS if (path / part).is_dir() and not _weights(path / part)]
        if missing:
            found.problem(where, f"{path}: {', '.join(missing)} is not there; expected {DIFFUSERS}")
        else:
            return made_for(path)
    return None


def _weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _check_clip(found: Findings, where: str, path: Path) -> None:
    if not path.exists():
        found.problem(where, f"{path} is not there. Place {CLIP} there.")
    elif not path.is_dir() or not any(path.glob("*.json")):
        found.problem(where, f"{path}: it has no open_clip_config.json; expected a folder with {CLIP}")


def _published(found: Findings, where: str, repository: HubRepository, fetching: Call[Any], work: Path) -> Path | None:
    """The folder of published weights: among the artifacts, or in the hub's cache, as far as they were downloaded."""
    fetched = work / f"{fetching.stage.name}-{fetching.fingerprint()}"
    if (fetched / RECORD).is_file():
        return fetched
    from huggingface_hub import try_to_load_from_cache

    file = FIRST_FILES[fetching.stage.name]
    cached = try_to_load_from_cache(repository.name, file, revision=repository.revision)
    if isinstance(cached, str):
        return Path(cached).parent
    found.note(
        where,
        f"{repository.name} (revision {repository.revision}) is neither among the artifacts nor in the hub's cache: "
        "`fulora run` downloads it, and asks for it before anything runs. Without internet set backbone.kind=folder "
        "backbone.diffusion=FOLDER backbone.clip=FOLDER",
    )
    return None


def made_of(pipe: "Pipeline") -> Made:
    """What a loaded backbone was made for."""
    latent, side = int(pipe.vae_scale_factor), pipe.unet.config.sample_size
    halved = latent * 2 ** (len(pipe.unet.config.block_out_channels) - 1)
    return Made(side * latent if isinstance(side, int) else None, latent, halved)


def made_for(folder: Path) -> Made | None:
    """What the backbone in a diffusers folder was made for; None where its configs do not tell."""
    try:
        unet, vae = (json.loads((folder / part / "config.json").read_text("utf-8")) for part in ("unet", "vae"))
        latent = 2 ** (len(vae["block_out_channels"]) - 1)
        side = unet["sample_size"]
        halved = latent * 2 ** (len(unet["block_out_channels"]) - 1)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Made(side * latent if isinstance(side, int) else None, latent, halved)
