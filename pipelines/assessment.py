"""Assessment of synthetic images in any study, and the study that assesses generators alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fulora.assessment.config import AssessConfig, JudgeConfig
from fulora.classification.config import ClassifierConfig
from fulora.clip.config import ZeroShotConfig
from fulora.clip.prompts import PromptSet
from fulora.config import Config, Json, Runtime
from fulora.data.assessed_images import Assessment
from fulora.data.image_set import ImageSet
from fulora.data.results import Report
from fulora.data.weights import ClipWeights, JudgeWeights
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.intake.config import CurateConfig
from fulora.report.parts import AssessmentPart, TrainingPart
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.backbones import BackboneConfig, EmbeddedBackbone, get_backbone, get_clip
from pipelines.generators import GeneratorConfig, distinct_loras, expand_generators, generate_sets, train_loras
from pipelines.merged_settings import locate_errors
from pipelines.stages.assess import assess
from pipelines.stages.report import ReportConfig, report
from pipelines.stages.train_judges import train_judges
from pipelines.study_inputs import curated, labels_of

IMAGES_AT = "images"
"""Place of the real images of an assessment study in its config."""

JUDGE_SEED = 1000
"""Seed of judges that are not configured: the study's classifiers with other random numbers."""


class AssessmentStudyConfig(Config):
    """Generators trained on the same images, and the assessment of each.

    Attributes:
        images: the training split trains the LoRAs, the validation split has held-out patients.
        clip: the source of the CLIP that encodes images; the embedded one by default.
        lora, generate: shared by all generators.
        synthetic: the generators by name, each with its differences. `start` can only be `images`.
        judge: None uses no judges.
    """

    study: Literal["assessment"]
    data_root: Annotated[Path, Runtime] = Path("data")
    images: CurateConfig
    backbone: BackboneConfig
    clip: BackboneConfig = Field(default_factory=EmbeddedBackbone)
    lora: LoraConfig = Field(default_factory=LoraConfig)
    generate: GenerateConfig
    synthetic: dict[str, GeneratorConfig]
    assess: AssessConfig = Field(default_factory=AssessConfig)
    zero_shot: ZeroShotConfig = Field(default_factory=ZeroShotConfig)
    judge: JudgeConfig | None = None
    classifier: ClassifierConfig = Field(default_factory=ClassifierConfig)
    classifier_file: Annotated[Path | None, Runtime] = None
    report: ReportConfig

    @model_validator(mode="before")
    @classmethod
    def _generators_are_changes(cls, values: Json) -> Json | dict[str, object]:
        return expand_generators(values)

    @model_validator(mode="after")
    def _can_be_run(self) -> "AssessmentStudyConfig":
        if not self.synthetic:
            raise ValueError("synthetic: has no generator; name one, or leave synthetic out")
        for name, one in self.synthetic.items():
            if one.start not in (None, IMAGES_AT):
                raise ValueError(f"synthetic.{name}.start: no images {one.start!r}; there are {IMAGES_AT}")
        if self.judge is not None:
            judge_configs(self.judge, self.classifier)
        return self


def run(cfg: AssessmentStudyConfig, work: Workspace) -> Report:
    """Train the LoRAs, generate with each generator, assess the generated images."""
    images = curated(cfg.images, cfg.data_root, work)
    backbone, clip = get_backbone(cfg.backbone, cfg.data_root, work), get_clip(cfg.clip, cfg.data_root, work)
    loras = train_loras(cfg.synthetic, work, backbone=backbone, images=images)
    labels, starts = labels_of(cfg.images, cfg.data_root), {IMAGES_AT: images}
    synthetic = generate_sets(cfg.synthetic, work, backbone=backbone, loras=loras, starts=starts, labels=labels)
    start = work.read(cfg.data_root / cfg.classifier_file) if cfg.classifier_file else None
    judges = get_judges(cfg.judge, cfg.classifier, images, start, work)
    trained_on = dict.fromkeys(synthetic, images)
    assessments = assess_sets(
        cfg.assess, work, synthetic, trained_on, images, clip=clip, prompts=cfg.zero_shot.prompts, judges=judges
    )
    part = AssessmentPart(synthetic, trained_on, images, assessments)
    return work.run(report, cfg.report, [part, TrainingPart(distinct_loras(loras))])


def get_judges(
    cfg: JudgeConfig | None, classifier: ClassifierConfig, images: ImageSet, start: Source | None, work: Workspace
) -> JudgeWeights | None:
    """Train the judges of a study, if it has any; `classifier` is the default config of a judge."""
    if cfg is None:
        return None
    config = judge_configs(cfg, classifier)[0]
    return work.run(train_judges, cfg.folds, config, images=images, start=start if config.reads_file else None)


def judge_configs(cfg: JudgeConfig, classifier: ClassifierConfig) -> list[ClassifierConfig]:
    """Return the config of each judge; they differ in their seed.

    Raises:
        ValueError: if one is not valid.
    """
    with locate_errors("judge"):
        config = cfg.classifier or classifier.changed(seed=JUDGE_SEED)
        return [config.changed(seed=config.seed + fold) for fold in range(cfg.folds)]


def assess_sets(
    cfg: AssessConfig,
    work: Workspace,
    synthetic: Mapping[str, ImageSet],
    trained_on: Mapping[str, ImageSet],
    held_out: ImageSet,
    *,
    clip: ClipWeights | Source,
    prompts: PromptSet | None,
    judges: JudgeWeights | None,
) -> dict[str, Assessment]:
    """Assess each synthetic set.

    Args:
        trained_on: by synthetic set, the images that it may hold copies of.
        held_out: its validation split has held-out patients.
    """
    calls = {
        name: assess.call(cfg, images, trained_on[name], held_out, clip, prompts, judges)
        for name, images in synthetic.items()
    }
    return work.each(calls)
