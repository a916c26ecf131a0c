"""Assessing synthetic images: of any study's sets, and the study of generators that may or may not copy patients."""

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
from fulora.diffusion.config import GenerateConfig, LoraConfig
from fulora.intake.config import CurateConfig
from fulora.report.parts import AssessmentPart, TrainingPart
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.backbones import BackboneConfig, EmbeddedBackbone, get_backbone, get_clip
from pipelines.changes import about
from pipelines.generators import GeneratorConfig, different, drawn, train_loras, with_generators
from pipelines.sources import curated, labels_of
from pipelines.stages.assess import assess
from pipelines.stages.report import ReportConfig, report
from pipelines.stages.train_judges import train_judges

IMAGES_AT = "images"
"""Where the real images of an assessment study stand in its config."""

JUDGE_SEED = 1000
"""Judges that are not configured are the study's classifiers, with other random numbers."""


class AssessmentStudyConfig(Config):
    """Generators of the same images, and what is found of the pictures of each.

    Attributes:
        images: the training split trains the LoRAs, the validation split shows patients who trained nothing.
        clip: whose CLIP looks at the pictures; the embedded one by default.
        lora, generate: what the generators have in common.
        synthetic: the generators by name; each says what it does otherwise. `start` can only be `images`.
        judge: None asks no judges.
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
        return with_generators(values)

    @model_validator(mode="after")
    def _can_be_run(self) -> "AssessmentStudyConfig":
        if not self.synthetic:
            raise ValueError("synthetic: there is no generator; name one, or leave synthetic out")
        for name, one in self.synthetic.items():
            if one.start not in (None, IMAGES_AT):
                raise ValueError(f"synthetic.{name}.start: no images {one.start!r}; there are {IMAGES_AT}")
        if self.judge is not None:
            judge_configs(self.judge, self.classifier)
        return self


def run(cfg: AssessmentStudyConfig, work: Workspace) -> Report:
    """Train the LoRAs, draw with each generator, assess what they drew."""
    images = curated(cfg.images, cfg.data_root, work)
    backbone, clip = get_backbone(cfg.backbone, cfg.data_root, work), get_clip(cfg.clip, cfg.data_root, work)
    loras = train_loras(cfg.synthetic, work, backbone=backbone, images=images)
    labels, starts = labels_of(cfg.images, cfg.data_root), {IMAGES_AT: images}
    synthetic = drawn(cfg.synthetic, work, backbone=backbone, loras=loras, starts=starts, labels=labels)
    start = work.read(cfg.data_root / cfg.classifier_file) if cfg.classifier_file else None
    judges = trained_judges(cfg.judge, cfg.classifier, images, start, work)
    shown = dict.fromkeys(synthetic, images)
    found = assessed(
        cfg.assess, work, synthetic, shown, images, clip=clip, prompts=cfg.zero_shot.prompts, judges=judges
    )
    return work.run(
        report, cfg.report, [AssessmentPart(synthetic, shown, images, found), TrainingPart(different(loras))]
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
    config = judge_configs(cfg, classifier)[0]
    return work.run(train_judges, cfg.folds, config, images=images, start=start if config.reads_file else None)


def judge_configs(cfg: JudgeConfig, classifier: ClassifierConfig) -> list[ClassifierConfig]:
    """The config of each judge, which differ in their seed.

    Raises:
        ValueError: one cannot be.
    """
    with about("judge"):
        config = cfg.classifier or classifier.changed(seed=JUDGE_SEED)
        return [config.changed(seed=config.seed + fold) for fold in range(cfg.folds)]


def assessed(
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
    """The assessment of each synthetic set.

    Args:
        trained_on: by synthetic set, the images that it may hold copies of.
        held_out: whose validation patients trained nothing.
    """
    return work.each(
        {
            name: assess.call(
                cfg,
                synthetic=images,
                trained_on=trained_on[name],
                held_out=held_out,
                clip=clip,
                prompts=prompts,
                judges=judges,
            )
            for name, images in synthetic.items()
        }
    )
