"""The segmentation study: fine-tune a U-Net on heads, segment people never seen, measure head circumference."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from fulora.config import Config, Runtime
from fulora.data.manifest import ImageSet
from fulora.data.results import MaskSet, Measurements
from fulora.data.weights import UnetWeights
from fulora.intake.config import CurateConfig, Hc18Config, PhantomsConfig
from fulora.segmentation.config import UnetConfig
from fulora.workspace import Workspace
from pipelines.sources import curated
from pipelines.stages.measure import measure
from pipelines.stages.segment import segment
from pipelines.stages.train_unet import train_unet


class SegmentationConfig(Config):
    """Heads with masks, and the U-Net that learns them.

    Attributes:
        encoder_file: a file under `data_root` that the encoder starts from; None starts it at random.
    """

    heads: CurateConfig
    unet: UnetConfig = Field(default_factory=UnetConfig)
    encoder_file: Annotated[Path | None, Runtime] = None

    @field_validator("heads")
    @classmethod
    def _heads_in_three_splits(cls, value: CurateConfig) -> CurateConfig:
        for number, source in enumerate(value.sources):
            heads = (
                source.planes == ("brain",) if isinstance(source, PhantomsConfig) else isinstance(source, Hc18Config)
            )
            if not heads:
                raise ValueError(
                    f"source {number} ({source.kind}) has no head masks; use hc18, or phantoms of planes: [brain]"
                )
        value.check_splits()
        return value


@dataclass(frozen=True)
class Segmentation:
    """What the segmentation part of a study made."""

    images: ImageSet
    unet: UnetWeights
    masks: MaskSet
    measurements: Measurements


def evaluate(cfg: SegmentationConfig, data_root: Path, work: Workspace) -> Segmentation:
    """Curate, train, segment, measure."""
    heads = curated(cfg.heads, data_root, work)
    encoder = work.read(data_root / cfg.encoder_file, hint="Or leave out encoder_file.") if cfg.encoder_file else None
    unet = work.run(train_unet, cfg.unet, images=heads, encoder=encoder)
    masks = work.run(segment, images=heads, unet=unet)
    return Segmentation(heads, unet, masks, work.run(measure, images=heads, masks=masks))
