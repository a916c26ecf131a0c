"""Where a study's backbone and CLIP come from: embedded, a folder, the hub, or training on site."""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

import fulora
from fulora.clip.config import ClipPretrainConfig
from fulora.config import Config, Runtime
from fulora.data.weights import Backbone, ClipWeights
from fulora.diffusion.config import PretrainConfig
from fulora.intake.config import CurateConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.sources import curated
from pipelines.stages.fetch import HubRepository, fetch_backbone, fetch_clip
from pipelines.stages.pretrain import pretrain
from pipelines.stages.pretrain_clip import pretrain_clip

ASSETS = Path(fulora.__file__).parent / "assets"
DEMO = "demo"
"""The name of the embedded backbone in commands."""


class Demo(Config):
    """The tiny models that come with fulora: Stable Diffusion at 64 px and a CLIP, trained on phantoms."""

    kind: Literal["demo"] = "demo"


class Folders(Config):
    """Weights on this machine: `diffusion` in diffusers' layout, `clip` in open_clip's `local-dir` layout."""

    kind: Literal["folder"] = "folder"
    diffusion: Annotated[Path, Runtime]
    clip: Annotated[Path, Runtime]


class Hub(Config):
    """Published weights, downloaded once."""

    kind: Literal["hub"] = "hub"
    diffusion: HubRepository = HubRepository(name="stable-diffusion-v1-5/stable-diffusion-v1-5")
    clip: HubRepository = HubRepository(name="laion/CLIP-ViT-B-32-laion2B-s34B-b79K")


class OnSite(Config):
    """Small models trained by `pretrain` and `pretrain_clip` on the training split of `images`."""

    kind: Literal["pretrain"] = "pretrain"
    images: CurateConfig
    diffusion: PretrainConfig = Field(default_factory=PretrainConfig)
    clip: ClipPretrainConfig = Field(default_factory=ClipPretrainConfig)


BackboneConfig = Annotated[Demo | Folders | Hub | OnSite, Field(discriminator="kind")]


def named_backbone(name: str) -> Path | str:
    """Return the folder or file of a backbone that a command names: the embedded one, or a path; else the hub id."""
    path = ASSETS / "diffusion" if name == DEMO else Path(name)
    return path if path.exists() else name


class Models(NamedTuple):
    """The foundation models of a study."""

    backbone: Backbone | Source
    clip: ClipWeights | Source


def at_hand(config: BackboneConfig, data_root: Path, work: Workspace) -> dict[str, Backbone | ClipWeights | Source]:
    """The backbone and CLIP, by what they are, where the study does not train them itself."""
    if isinstance(config, OnSite):
        return {}
    return {"backbone": get_backbone(config, data_root, work), "CLIP": get_clip(config, data_root, work)}


def get_models(config: BackboneConfig, data_root: Path, work: Workspace) -> Models:
    """The study's backbone and CLIP; trained on site where the config says so.

    Raises:
        MissingInputError: a folder of weights is not there.
    """
    return Models(get_backbone(config, data_root, work), get_clip(config, data_root, work))


def get_backbone(config: BackboneConfig, data_root: Path, work: Workspace) -> Backbone | Source:
    """The Stable Diffusion alone, for a study without CLIP."""
    match config:
        case Demo():
            return work.read(ASSETS / "diffusion")
        case Folders():
            hint = "Place a diffusers folder there, or set backbone.diffusion=FOLDER."
            return work.read(config.diffusion, hint=hint)
        case Hub():
            return work.run(fetch_backbone, config.diffusion)
        case OnSite():
            return work.run(pretrain, config.diffusion, images=curated(config.images, data_root, work))


def get_clip(config: BackboneConfig, data_root: Path, work: Workspace) -> ClipWeights | Source:
    """The CLIP alone."""
    match config:
        case Demo():
            return work.read(ASSETS / "clip")
        case Folders():
            hint = "Place open_clip_config.json and open_clip_model.safetensors there."
            return work.read(config.clip, hint=hint)
        case Hub():
            return work.run(fetch_clip, config.clip)
        case OnSite():
            return work.run(pretrain_clip, config.clip, images=curated(config.images, data_root, work))
