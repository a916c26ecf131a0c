"""The study that only trains a LoRA: its losses, the start of over-fitting, and samples during training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fulora.config import Config, Runtime
from fulora.data.results import Report
from fulora.diffusion.config import LoraConfig
from fulora.intake.config import CurateConfig
from fulora.report.parts import TrainingPart
from fulora.workspace import Workspace
from pipelines.backbones import BackboneConfig, get_backbone
from pipelines.stages.report import ReportConfig, report
from pipelines.stages.train_lora import train_lora
from pipelines.study_inputs import curated


class LoraTrainingConfig(Config):
    """Images, a backbone and training settings. The validation split of `images` has held-out patients."""

    study: Literal["lora_training"]
    data_root: Annotated[Path, Runtime] = Path("data")
    images: CurateConfig
    backbone: BackboneConfig
    lora: LoraConfig = Field(default_factory=LoraConfig)
    report: ReportConfig


def run(cfg: LoraTrainingConfig, work: Workspace) -> Report:
    """Curate, train, report."""
    images = curated(cfg.images, cfg.data_root, work)
    backbone = get_backbone(cfg.backbone, cfg.data_root, work)
    lora = work.run(train_lora, cfg.lora, backbone=backbone, images=images)
    return work.run(report, cfg.report, [TrainingPart({"LoRA": lora}, images)])
