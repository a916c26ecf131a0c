"""The config of the FU-LoRA study: its images, its models, its arms, and how they are compared."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator

from fulora.assessment.config import AssessConfig, JudgeConfig
from fulora.classification.config import ClassifierConfig
from fulora.clip.config import ZeroShotConfig
from fulora.config import Config, Runtime
from fulora.data.hybrid import MixConfig
from fulora.data.labels import PLANES, Plane
from fulora.data.results import PROMPT, ScoreConfig
from fulora.diffusion.config import GenerateConfig, LoraConfig
from fulora.intake.config import CurateConfig
from fulora.intake.source import FolderSourceConfig
from fulora.intake.sources.phantoms import PhantomsConfig
from fulora.intake.sources.psfhs import PsfhsConfig
from pipelines.arms import HYBRID, REAL, ArmConfig, arms_of
from pipelines.backbones import BackboneConfig, OnSite
from pipelines.clip_arms import FEW_SHOT, ClipArmConfig, FewShotConfig
from pipelines.segmentation import SegmentationConfig
from pipelines.stages.report import ReportConfig
from pipelines.stages.score_generation import GenerationScoreConfig


class FuLoraConfig(Config):
    """The whole study. `planes.sources` gives the training population and, in the test split, the unseen one.

    Attributes:
        data_root: the folder that sources' folders stand in.
        other_images: further sets of real images that arms may train on, by name.
        lora_images: what the LoRA is trained on, where that is not the training split of `planes`.
        other_ranks: LoRAs of these ranks, alpha as high, are trained as well, to be compared.
        prior: images of the base that the LoRA must not unlearn.
        closeness: how far base and LoRA are from the study population.
        judge: classifiers of real images that say which plane a synthetic one shows; None asks none.
        mix: what the arm `hybrid` mixes.
        arms: others than `real` and `hybrid`, by name.
        ratios: a sweep: an arm for each ratio of added images to real ones.
        real_per_plane: a learning curve: `real` and `hybrid` with so many real images of each plane.
        clip_arms: CLIPs tuned on an arm's images, and heads on its embeddings, by name.
        few_shot: a few patients of the population tested on, and the head that learns from them.
        crossed_with_augmentation: each arm once more without augmentation.
        classifier_file: a file under `data_root` that classifiers start from, where `classifier.weights` reads one.
        classifier_seeds: one classifier is trained for each, in each arm.
        accept_missing_classes: a class with test images and no training images, or the other way round, stops the
            study before anything runs. Of the classes named here it is accepted; the report says so in red.
        score: `contrast` names the arm and its baseline of the comparison that the study is about, before it runs.
    """

    study: Literal["fu_lora"]
    data_root: Annotated[Path, Runtime] = Path("data")
    planes: CurateConfig
    other_images: dict[str, CurateConfig] = Field(default_factory=dict)
    backbone: BackboneConfig
    lora: LoraConfig = Field(default_factory=LoraConfig)
    lora_images: CurateConfig | None = None
    other_ranks: tuple[PositiveInt, ...] = ()
    prior: GenerateConfig | None = None
    generate: GenerateConfig
    closeness: GenerationScoreConfig = Field(default_factory=GenerationScoreConfig)
    assess: AssessConfig = Field(default_factory=AssessConfig)
    judge: JudgeConfig | None = None
    mix: MixConfig = Field(default_factory=MixConfig)
    zero_shot: ZeroShotConfig = Field(default_factory=ZeroShotConfig)
    classifier: ClassifierConfig = Field(default_factory=ClassifierConfig)
    classifier_file: Annotated[Path | None, Runtime] = None
    classifier_seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    arms: dict[str, ArmConfig] = Field(default_factory=dict)
    ratios: tuple[NonNegativeFloat, ...] = ()
    real_per_plane: tuple[PositiveInt, ...] = ()
    crossed_with_augmentation: bool = False
    clip_arms: dict[str, ClipArmConfig] = Field(default_factory=dict)
    few_shot: FewShotConfig | None = None
    segmentation: SegmentationConfig | None = None
    accept_missing_classes: tuple[Plane, ...] = ()
    score: ScoreConfig = Field(default_factory=ScoreConfig)
    report: ReportConfig

    @field_validator("planes")
    @classmethod
    def _classification_in_three_splits(cls, value: CurateConfig) -> CurateConfig:
        for number, source in enumerate(value.sources):
            shown = source.planes if isinstance(source, PhantomsConfig) else PLANES
            wrong = ["intrapartum"] if isinstance(source, PsfhsConfig) else [p for p in shown if p not in PLANES]
            if wrong:
                raise ValueError(f"source {number} shows {wrong[0]}; a study classifies {', '.join(PLANES)} only")
        value.check_splits()
        return value

    @field_validator("classifier_seeds")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a seed stands twice; the same classifier would be counted as two")
        return value

    @model_validator(mode="after")
    def _arms_are_told_apart(self) -> "FuLoraConfig":
        names = [*self.arms, *self.clip_arms]
        taken = sorted({REAL, HYBRID, PROMPT, FEW_SHOT} & set(names) | set(self.arms) & set(self.clip_arms))
        if taken:
            raise ValueError(f"arms: {', '.join(taken)} is there already; give another name")
        doubtful = sorted(name for name in names if " - " in name)
        if doubtful:
            raise ValueError(f"arms: {doubtful[0]!r} would read as a difference of two arms; write it without ' - '")
        unnamed = sorted({arm.images for arm in self.arms.values()} - {"", *self.other_images})
        if unnamed:
            known = ", ".join(self.other_images) or "none"
            raise ValueError(f"arms: other_images has no {unnamed[0]!r}; it has {known}")
        known_arms = ", ".join(self.all_arms())
        without = sorted({arm.images for arm in self.clip_arms.values()} - set(self.all_arms()))
        if without:
            raise ValueError(f"clip_arms: no arm {without[0]!r} whose images to take; there are {known_arms}")
        if self.judge is None and any(arm.mix and "plane" in arm.mix.filters for arm in self.all_arms().values()):
            raise ValueError("mix.filters: plane asks judges, and there are none; set judge: {folds: 4}")
        unknown = sorted(set(self.score.contrast) - set(self.all_arms()))
        if unknown:
            raise ValueError(f"score.contrast: no arm {unknown[0]!r}; there are {known_arms}")
        return self

    def all_arms(self) -> dict[str, ArmConfig]:
        """What classifiers are trained on, by name."""
        return arms_of(self.mix, self.arms, self.ratios, self.real_per_plane, self.crossed_with_augmentation)

    def names_of_images(self) -> list[str]:
        """The real images that classifiers are trained on: those of `planes`, which have no name, and others."""
        return list(dict.fromkeys(["", *(arm.images for arm in self.all_arms().values())]))

    @model_validator(mode="after")
    def _backbone_has_not_seen_the_test(self) -> "FuLoraConfig":
        seen = set(self.backbone.images.folders()) if isinstance(self.backbone, OnSite) else set()
        tested = {s.folder for s in self.planes.sources if isinstance(s, FolderSourceConfig) and "test" in s.shares()}
        if seen & tested:
            raise ValueError(
                f"backbone.images reads {', '.join(sorted(seen & tested))}, which planes keeps for the test"
            )
        return self
