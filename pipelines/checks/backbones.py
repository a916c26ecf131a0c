"""Checks of the backbone and the CLIP of a study: that they exist, and which image sizes the backbone was made for."""

from pathlib import Path
from typing import Any

from fulora.diffusion.models.native_size import NativeSize, read_native_size
from fulora.stage import RECORD, Call
from pipelines.backbone_names import ASSETS
from pipelines.backbones import BackboneConfig, BackboneFolders, EmbeddedBackbone, HubBackbone, OnSiteBackbone
from pipelines.checks.findings import Findings
from pipelines.checks.images import Sources
from pipelines.checks.sizes import check_pretraining_sizes
from pipelines.stages.fetch import HubRepository, fetch_backbone, fetch_clip

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHTS = ("unet", "vae", "text_encoder")
DIFFUSERS = f"a folder in diffusers' layout (model_index.json, {', '.join(f'{part}/' for part in PARTS)})"
FIRST_FILES = {"fetch_backbone": "model_index.json", "fetch_clip": "open_clip_config.json"}
"""By stage that fetches published weights, the file whose presence shows that they were fetched."""

CLIP_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
CLIP = "open_clip_config.json and open_clip_model.safetensors"


def check_models(
    findings: Findings, sources: Sources, where: str, config: BackboneConfig, work: Path, *, clip: bool = True
) -> NativeSize | None:
    """Check as `check_backbone` does, and if models are pre-trained on site, the images for that."""
    native = check_backbone(findings, where, config, work, clip=clip)
    if isinstance(config, OnSiteBackbone) and native is not None:
        images = sources.expect(f"{where}.images", config.images)
        check_pretraining_sizes(findings, f"{where}.images", config.images, images.sizes("train"), native)
    return native


def check_backbone(
    findings: Findings, where: str, config: BackboneConfig, work: Path, *, clip: bool = True
) -> NativeSize | None:
    """Check that weights exist, and return the sizes that the backbone was made for if its configs state them.

    Args:
        where: the config's path, such as `backbone`.
        work: the folder of artifacts, which may hold published weights already.
        clip: whether the study reads the CLIP as well.
    """
    match config:
        case EmbeddedBackbone():
            return read_native_size(ASSETS / "diffusion")
        case BackboneFolders():
            if clip:
                check_clip_folder(findings, f"{where}.clip", config.clip)
            return check_diffusion_folder(findings, f"{where}.diffusion", config.diffusion)
        case HubBackbone():
            if clip:
                _published(findings, f"{where}.clip", config.clip, fetch_clip.call(config.clip), work)
            fetching = fetch_backbone.call(config.diffusion)
            folder = _published(findings, f"{where}.diffusion", config.diffusion, fetching, work)
            return None if folder is None else read_native_size(folder)
        case OnSiteBackbone():
            side = None if config.images.fit == "native" else config.images.image_size_px
            latent = config.diffusion.latent_downsampling
            return NativeSize(side, latent, latent * 2 ** (len(config.diffusion.unet_channels) - 1))


def check_diffusion_folder(findings: Findings, where: str, path: Path) -> NativeSize | None:
    """Check that a folder or file of a Stable Diffusion is complete, and return the sizes that it was made for."""
    if not path.exists():
        findings.problem(where, f"{path}: not found. Place a diffusers folder there, or set {where}=FOLDER.")
    elif path.is_file():
        if path.suffix != ".safetensors":
            findings.problem(
                where,
                f"{path}: is a {path.suffix or 'file without ending'}; give {DIFFUSERS}, or one "
                ".safetensors checkpoint",
            )
    else:
        missing = [part for part in ("model_index.json", *PARTS) if not (path / part).exists()]
        missing += [f"{part}/*.safetensors" for part in WEIGHTS if (path / part).is_dir() and not _weights(path / part)]
        if missing:
            findings.problem(where, f"{path}: {', '.join(missing)} not found; expected {DIFFUSERS}")
        else:
            return read_native_size(path)
    return None


def _weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def check_clip_folder(findings: Findings, where: str, path: Path) -> None:
    """Check that a folder of a CLIP has a config and weights."""
    if not path.exists():
        findings.problem(where, f"{path}: not found. Place {CLIP} there.")
    elif not path.is_dir() or not any(path.glob("*.json")):
        findings.problem(where, f"{path}: no open_clip_config.json found; expected a folder with {CLIP}")
    elif not any(file.suffix in CLIP_ENDINGS for file in path.iterdir()):
        findings.problem(where, f"{path}: no weights found; expected a folder with {CLIP}")


def _published(
    findings: Findings, where: str, repository: HubRepository, fetching: Call[Any], work: Path
) -> Path | None:
    """Return the folder of published weights, among the artifacts or in the hub's cache; None if not downloaded."""
    fetched = work / f"{fetching.stage.name}-{fetching.fingerprint()}"
    if (fetched / RECORD).is_file():
        return fetched
    from huggingface_hub import try_to_load_from_cache

    file = FIRST_FILES[fetching.stage.name]
    cached = try_to_load_from_cache(repository.name, file, revision=repository.revision)
    if isinstance(cached, str):
        return Path(cached).parent
    findings.note(
        where,
        f"{repository.name} (revision {repository.revision}) is neither among the artifacts nor in the hub's cache: "
        "`fulora run` downloads it, and asks for it before anything runs. Without internet set backbone.kind=folder "
        "backbone.diffusion=FOLDER backbone.clip=FOLDER",
    )
    return None
