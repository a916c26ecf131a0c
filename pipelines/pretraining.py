"""The study that makes the embedded models: a backbone and a CLIP, pre-trained on one image set."""

from pathlib import Path
from typing import Annotated, Literal

from fulora.config import Config, Runtime
from fulora.stage import Artifact
from fulora.workspace import Workspace
from pipelines.backbones import OnSiteBackbone, get_backbone, get_clip


class PretrainingConfig(Config):
    """The models and their training images."""

    study: Literal["pretraining"]
    data_root: Annotated[Path, Runtime] = Path("data")
    models: OnSiteBackbone


def run(cfg: PretrainingConfig, work: Workspace) -> Artifact:
    """Curate, pre-train both models and return the backbone."""
    backbone = get_backbone(cfg.models, cfg.data_root, work)
    get_clip(cfg.models, cfg.data_root, work)
    return backbone
