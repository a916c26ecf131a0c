"""Download published weights and data sets at a named revision."""

from pathlib import Path

from fulora.config import Config
from fulora.data.provenance import Provenance
from fulora.data.weights import Backbone, ClipWeights
from fulora.stage import Source, stage

BACKBONE_FILES = [
    "model_index.json",
    "*/*.json",
    "*/*.txt",
    "*/diffusion_pytorch_model.safetensors",
    "*/model.safetensors",
]
CLIP_FILES = ["*.json", "*.txt", "open_clip_model.safetensors"]
"""Patterns of the files of a repository that are needed."""


class HubRepository(Config):
    """A repository on the Hugging Face hub. Pin `revision` to a commit for a study that is to be repeated."""

    name: str
    revision: str = "main"


def has_backbone(config: HubRepository) -> None:
    """Check that the hub has a diffusers pipeline, before any stage of a study runs."""
    _require(config, "model_index.json")


def has_clip(config: HubRepository) -> None:
    """Check that the hub has a CLIP in open_clip's layout, before any stage of a study runs."""
    _require(config, "open_clip_config.json")


def _require(config: HubRepository, file: str) -> None:
    """Ask the hub once, without retries, whether the repository has a file.

    Raises:
        ValueError: if it does not, or is not reachable, with what to place where instead.
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
        advice = (
            "set backbone.kind=folder backbone.diffusion=FOLDER backbone.clip=FOLDER: the first in diffusers' layout "
            "(model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/), the second in open_clip's "
            "(open_clip_config.json, open_clip_model.safetensors)"
        )
        raise _unavailable(config, error, "", advice) from error


def _unavailable(config: HubRepository, error: OSError, options: str, advice: str) -> ValueError:
    return ValueError(
        f"{config.name} (revision {config.revision}) cannot be had from the hub ({error}). Without internet, copy it "
        f"from a machine that has it (hf download NAME {options}--local-dir FOLDER), and {advice}"
    )


def has_data(config: HubRepository) -> None:
    """Check that the hub has a data set, before any stage of a study runs."""
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(config.name, revision=config.revision, timeout=10)
    except OSError as error:
        advice = "set folder: FOLDER instead of hub and revision"
        raise _unavailable(config, error, "--repo-type dataset ", advice) from error


@stage(version=1, resumes=True, check=has_data)
def fetch_data(out: Path, config: HubRepository) -> Source:
    """Download all files of a data set, which is identified by its name and revision."""
    from huggingface_hub import snapshot_download

    snapshot_download(config.name, repo_type="dataset", revision=config.revision, local_dir=out)
    return Source(out, "")


@stage(version=2, resumes=True, check=has_backbone)
def fetch_backbone(out: Path, config: HubRepository) -> Backbone:
    """Download a diffusers pipeline; the safety checker, made for photographs, is left out."""
    _download(out, config, BACKBONE_FILES)
    Provenance.unknown(f"backbone {config.name}").write(out)
    return Backbone(out, "")


@stage(version=2, resumes=True, check=has_clip)
def fetch_clip(out: Path, config: HubRepository) -> ClipWeights:
    """Download a CLIP in open_clip's layout."""
    _download(out, config, CLIP_FILES)
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
