"""Assessing synthetic images: of any study's sets, and the study of LoRAs that should or should not copy patients."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fulora.assessment.config import AssessConfig, JudgeConfig
from fulora.classification.config import ClassifierConfig
from fulora.clip.config import ZeroShotConfig
from fulora.clip.prompts import PromptSet
from fulora.config import Config, Runtime
from fulora.data.manifest import ImageSet
from fulora.data.results import Report
from fulora.data.screened import Assessment
from fulora.data.weights import ClipWeights, JudgeWeights
from fulora.diffusion.config import GenerateConfig, LoraConfig
from fulora.intake.config import CurateConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.backbones import BackboneConfig, Demo, get_backbone, get_clip
from pipelines.sources import curated, labels_of
from pipelines.stages.assess import assess
from pipelines.stages.generate import generate
from pipelines.stages.report_assessment import ReportAssessmentConfig, report_assessment
from pipelines.stages.train_judges import train_judges
from pipelines.stages.train_lora import train_lora

JUDGE_SEED = 1000
"""Judges that are not configured are the study's classifiers, with other random numbers."""


class AssessmentStudyConfig(Config):
    """LoRAs of the same images, and what is found of the pictures of each.

    Attributes:
        images: the training split trains the LoRAs, the validation split shows patients who trained nothing.
        clip: whose CLIP looks at the pictures; the embedded one by default.
        loras: by name.
        judge: None asks no judges.
    """

    study: Literal["assessment"]
    data_root: Annotated[Path, Runtime] = Path("data")
    images: CurateConfig
    backbone: BackboneConfig
    clip: BackboneConfig = Field(default_factory=Demo)
    loras: dict[str, LoraConfig] = Field(min_length=1)
    generate: GenerateConfig
    assess: AssessConfig = Field(default_factory=AssessConfig)
    zero_shot: ZeroShotConfig = Field(default_factory=ZeroShotConfig)
    judge: JudgeConfig | None = None
    classifier: ClassifierConfig = Field(default_factory=ClassifierConfig)
    classifier_file: Annotated[Path | None, Runtime] = None
    report: ReportAssessmentConfig


def run(cfg: AssessmentStudyConfig, work: Workspace) -> Report:
    """Train the LoRAs, draw with each, assess what they drew."""
    images = curated(cfg.images, cfg.data_root, work)
    backbone, clip = get_backbone(cfg.backbone, cfg.data_root, work), get_clip(cfg.clip, cfg.data_root, work)
    loras = work.each(
        {name: train_lora.call(lora, backbone=backbone, images=images) for name, lora in cfg.loras.items()}
    )
    labels = labels_of(cfg.images, cfg.data_root)
    synthetic = work.each(
        {name: generate.call(cfg.generate, backbone=backbone, lora=lora, labels=labels) for name, lora in loras.items()}
    )
    start = work.read(cfg.data_root / cfg.classifier_file) if cfg.classifier_file else None
    judges = trained_judges(cfg.judge, cfg.classifier, images, start, work)
    found = assessed(
        cfg.assess, work, synthetic, images, images, clip=clip, prompts=cfg.zero_shot.prompts, judges=judges
    )
    return work.run(
        report_assessment,
        cfg.report,
        synthetic=synthetic,
        images=images,
        assessments=found,
        curves=loras,
    )


def trained_judges(
    cfg: JudgeConfig | None, classifier: ClassifierConfig, images: ImageSet, start: Source | None, work: Workspace
) -> JudgeWeights | None:
    """The judges of a study, if it wants any.

    Args:
        classifier: the study's, for judges that are not configured.
    """
    if cfg is None:
        return None
    config = cfg.classifier or classifier.model_copy(update={"seed": JUDGE_SEED})
    return work.run(train_judges, cfg.folds, config, images=images, start=start if config.reads_file else None)


def assessed(
    cfg: AssessConfig,
    work: Workspace,
    synthetic: Mapping[str, ImageSet],
    trained_on: ImageSet,
    held_out: ImageSet,
    *,
    clip: ClipWeights | Source,
    prompts: PromptSet | None,
    judges: JudgeWeights | None,
) -> dict[str, Assessment]:
    """The assessment of each synthetic set, against those who trained and those who did not."""
    return work.each(
        {
            name: assess.call(
                cfg,
                synthetic=images,
                trained_on=trained_on,
                held_out=held_out,
                clip=clip,
                prompts=prompts,
                judges=judges,
            )
            for name, images in synthetic.items()
        }
    )
