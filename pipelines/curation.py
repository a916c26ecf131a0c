"""The study that only curates: image sets from published folders or hospital exports."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fulora.config import Config, Runtime
from fulora.data.image_set import ImageSet
from fulora.intake.config import CurateConfig
from fulora.workspace import Workspace
from pipelines.study_inputs import curated


class CurationConfig(Config):
    """Image sets by name, each from its sources under `data_root`."""

    study: Literal["curation"]
    data_root: Annotated[Path, Runtime] = Path("data")
    sets: dict[str, CurateConfig] = Field(min_length=1)


def run(cfg: CurationConfig, work: Workspace) -> ImageSet:
    """Curate every set and return the last."""
    return [curated(config, cfg.data_root, work) for config in cfg.sets.values()][-1]
