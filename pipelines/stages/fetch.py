"""Bring published weights onto this machine, at a named revision."""

from pathlib import Path

from fulora.config import Config
from fulora.data.provenance import Provenance
from fulora.data.weights import Backbone, ClipWeights
from fulora.stage import Source, stage


class HubRepository(Config):
    """A repository on the Hugging Face hub. Pin `revision` to a commit for a study that is to be repeated."""

    name: str
    revision: str = "main"


def has_backbone(config: HubRepository) -> None:
    """Ask for a diffusers pipeline before any stage of a study runs."""
    _ask(config, "model_index.json")


def has_clip(config: HubRepository) -> None:
    """Ask for a CLIP in open_clip's layout before any stage of a study runs."""
    _ask(config, "open_clip_config.json")


def _ask(config: HubRepository, file: str) -> None:
    """Ask the hub whether the repository has a file, once and without retries.

    Raises:
        ValueError: it cannot be had; says what to place where instead.
    """
    from urllib.request import Request, urlopen

    from huggingface_hub import get_token, hf_hub_url

    token = get_token()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    url = hf_hub_url(config.name, file, revision=config.revision)
    try:
        with urlopen(Request(url, headers=headers, method="HEAD"), timeout=10):
            return
    except OSError as error:
        raise ValueError(
            f"{config.name} (revision {config.revision}) cannot be had from the hub ({error}). Where "
            "there is no internet, copy it from a machine that has it (hf download NAME --local-dir FOLDER) and set "
            "backbone.kind=folder backbone.diffusion=FOLDER backbone.clip=FOLDER: the first in diffusers' layout "
            "(model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/), the second in open_clip's "
            "(open_clip_config.json, open_clip_model.safetensors)"
        ) from error


def has_data(config: HubRepository) -> None:
    """Ask for a data set before any stage of a study runs."""
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(config.name, revision=config.revision, timeout=10)
    except OSError as error:
        raise ValueError(
            f"{config.name} (revision {config.revision}) cannot be had from the hub ({error}). Where there is no "
            "internet, copy it from a machine that has it (hf download NAME --repo-type dataset --local-dir FOLDER), "
            "and say folder: FOLDER instead of hub and revision"
        ) from error


@stage(version=1, resumes=True, check=has_data)
def fetch_data(out: Path, config: HubRepository) -> Source:
    """Download a data set, all its files; it is known by its name and revision."""
    from huggingface_hub import snapshot_download

    snapshot_download(config.name, repo_type="dataset", revision=config.revision, local_dir=out)
    return Source(out, "")


@stage(version=2, resumes=True, check=has_backbone)
def fetch_backbone(out: Path, config: HubRepository) -> Backbone:
    """Download a diffusers pipeline; the safety checker, made for photographs, is left out."""
    wanted = ["model_index.json", "*/*.json", "*/*.txt", "*/diffusion_pytorch_model.safetensors", "*/model.safetensors"]
    _download(out, config, wanted)
    Provenance.unknown(f"backbone {config.name}").write(out)
    return Backbone(out, "")


@stage(version=2, resumes=True, check=has_clip)
def fetch_clip(out: Path, config: HubRepository) -> ClipWeights:
    """Download a CLIP in open_clip's layout."""
    _download(out, config, ["*.json", "*.txt", "open_clip_model.safetensors"])
    Provenance.unknown(f"CLIP {config.name}").write(out)
    return ClipWeights(out, "")


def _download(out: Path, config: HubRepository, wanted: list[str]) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(
        config.name,
        revision=config.revision,
        allow_patterns=wanted,
        ignore_patterns=["safety_checker/*"],
        local_dir=out,
    )
