"""Where the backbone and the CLIP of a study come from: embedded, a folder, the hub, or pre-training on site."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fulora.clip.config import ClipPretrainConfig
from fulora.config import Config, Runtime
from fulora.data.weights import Backbone, ClipWeights
from fulora.diffusion.config import PretrainConfig
from fulora.intake.config import CurateConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.backbone_names import ASSETS
from pipelines.stages.fetch import HubRepository, fetch_backbone, fetch_clip
from pipelines.stages.pretrain import pretrain
from pipelines.stages.pretrain_clip import pretrain_clip
from pipelines.study_inputs import curated


class EmbeddedBackbone(Config):
    """The tiny models that come with fulora: Stable Diffusion at 64 px and a CLIP, trained on phantoms."""

    kind: Literal["demo"] = "demo"


class BackboneFolders(Config):
    """Weights on this machine: `diffusion` in diffusers' layout, `clip` in open_clip's `local-dir` layout."""

    kind: Literal["folder"] = "folder"
    diffusion: Annotated[Path, Runtime]
    clip: Annotated[Path, Runtime]


class HubBackbone(Config):
    """Published weights, downloaded once."""

    kind: Literal["hub"] = "hub"
    diffusion: HubRepository = HubRepository(name="stable-diffusion-v1-5/stable-diffusion-v1-5")
    clip: HubRepository = HubRepository(name="laion/CLIP-ViT-B-32-laion2B-s34B-b79K")


class OnSiteBackbone(Config):
    """Small models pre-trained by `pretrain` and `pretrain_clip` on the training split of `images`."""

    kind: Literal["pretrain"] = "pretrain"
    images: CurateConfig
    diffusion: PretrainConfig = Field(default_factory=PretrainConfig)
    clip: ClipPretrainConfig = Field(default_factory=ClipPretrainConfig)


BackboneConfig = Annotated[
    EmbeddedBackbone | BackboneFolders | HubBackbone | OnSiteBackbone, Field(discriminator="kind")
]


def get_backbone(config: BackboneConfig, data_root: Path, work: Workspace) -> Backbone | Source:
    """Return the diffusion backbone, fetched or pre-trained if the config says so.

    Raises:
        MissingInputError: if a folder of weights does not exist.
    """
    match config:
        case EmbeddedBackbone():
            return work.read(ASSETS / "diffusion")
        case BackboneFolders():
            hint = "Place a diffusers folder there, or set backbone.diffusion=FOLDER."
            return work.read(config.diffusion, hint=hint)
        case HubBackbone():
            return work.run(fetch_backbone, config.diffusion)
        case OnSiteBackbone():
            return work.run(pretrain, config.diffusion, images=curated(config.images, data_root, work))


def get_clip(config: BackboneConfig, data_root: Path, work: Workspace) -> ClipWeights | Source:
    """Return the CLIP; see `get_backbone`."""
    match config:
        case EmbeddedBackbone():
            return work.read(ASSETS / "clip")
        case BackboneFolders():
            hint = "Place open_clip_config.json and open_clip_model.safetensors there."
            return work.read(config.clip, hint=hint)
        case HubBackbone():
            return work.run(fetch_clip, config.clip)
        case OnSiteBackbone():
            return work.run(pretrain_clip, config.clip, images=curated(config.images, data_root, work))
