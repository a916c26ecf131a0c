"""The study that makes the embedded models: pre-train a backbone and a CLIP on one image set."""

from pathlib import Path
from typing import Annotated, Literal

from fulora.config import Config, Runtime
from fulora.stage import Artifact
from fulora.workspace import Workspace
from pipelines.backbones import OnSite, get_models


class PretrainingConfig(Config):
    """What to train, on which images."""

    study: Literal["pretraining"]
    data_root: Annotated[Path, Runtime] = Path("data")
    models: OnSite


def run(cfg: PretrainingConfig, work: Workspace) -> Artifact:
    """Curate, pre-train both models; returns the backbone."""
    return get_models(cfg.models, cfg.data_root, work).backbone
