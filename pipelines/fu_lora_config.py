"""The config of the FU-LoRA study: its images, its models, its arms, and how they are compared."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator

from fulora.assessment.config import AssessConfig, ClosenessConfig, JudgeConfig
from fulora.classification.config import ClassifierConfig
from fulora.clip.config import ZeroShotConfig
from fulora.config import Config, Json, Runtime
from fulora.data.comparisons import check_arm_names
from fulora.data.hybrid import MixConfig
from fulora.data.results import PROMPT
from fulora.data.score import ScoreConfig
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.intake.config import CurateConfig
from pipelines.arms import HYBRID, REAL, ArmConfig, build_arms
from pipelines.assessment import judge_configs
from pipelines.backbones import BackboneConfig, OnSiteBackbone
from pipelines.clip_arms import FEW_SHOT, ClipArmConfig, FewShotConfig, tuning_configs
from pipelines.generators import DEFAULT, GeneratorConfig, expand_generators
from pipelines.merged_settings import locate_errors
from pipelines.segmentation import SegmentationConfig
from pipelines.stages.report import ReportConfig
from pipelines.training_key import Training

PLANES_AT, LORA_AT = "planes", "lora_images"
"""Places of real images in the config, other than `other_images`."""


class StudyReportConfig(ReportConfig):
    """The report of the study, with the number of images in a row of an image grid."""

    images_per_row: PositiveInt = 8


class FuLoraConfig(Config):
    """The whole study. `planes.sources` gives the training population and, in the test split, the held-out one.

    Attributes:
        data_root: the folder of the sources' folders.
        other_images: further sets of real images that arms may train on, by name.
        lora, generate: shared by the generators.
        lora_images: training images of LoRAs, if not the training split of `planes`.
        prior: images of the backbone alone that LoRAs must not forget.
        synthetic: the generators by name, each with its differences from `lora` and `generate`. `start` is `planes`,
            `lora_images` or a name in `other_images`.
        default_generator: the generator of arms that name none, including `hybrid`.
        closeness: distance of each generator's images to the study population, compared with that of `baseline`: by
            default the generator `base`, if there is one.
        judge: classifiers of real images that predict the plane of a synthetic one; None uses none.
        mix: the mix of the arm `hybrid`.
        arms: arms other than `real` and `hybrid`, by name.
        ratios: a sweep: an arm for each ratio of added images to real ones.
        real_per_plane: a learning curve: `real` and `hybrid` with each number of real images per plane.
        clip_arms: CLIPs tuned on an arm's images, and heads on its embeddings, by name.
        few_shot: a few patients of the test population, and the head that is fitted to them.
        crossed_with_augmentation: each arm once more without augmentation.
        classifier_file: a file under `data_root` that classifiers start from, if `classifier.weights` reads one.
        classifier_seeds: one classifier is trained for each, in each arm.
        accept_missing_classes: classes that may have only test or only training images, which the report marks in red;
            any other such class stops the study before anything runs.
        score: `comparisons.declared` names the arm and the baseline of the primary comparison.
    """

    study: Literal["fu_lora"]
    data_root: Annotated[Path, Runtime] = Path("data")
    planes: CurateConfig
    other_images: dict[str, CurateConfig] = Field(default_factory=dict)
    backbone: BackboneConfig
    lora: LoraConfig = Field(default_factory=LoraConfig)
    lora_images: CurateConfig | None = None
    prior: GenerateConfig | None = None
    generate: GenerateConfig
    synthetic: dict[str, GeneratorConfig]
    default_generator: str = "LoRA"
    closeness: ClosenessConfig = Field(default_factory=ClosenessConfig)
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
    accept_missing_classes: tuple[str, ...] = ()
    score: ScoreConfig = Field(default_factory=ScoreConfig)
    report: StudyReportConfig

    @model_validator(mode="before")
    @classmethod
    def _generators_are_changes(cls, values: Json) -> Json | dict[str, object]:
        if not isinstance(values, dict):
            return values
        closeness, generators = values.get("closeness", {}), values.get("synthetic", DEFAULT)
        if isinstance(closeness, dict) and isinstance(generators, dict) and "base" not in generators:
            values = {**values, "closeness": {"baseline": None, **closeness}}
        return expand_generators(values)

    @field_validator("planes")
    @classmethod
    def _three_splits(cls, value: CurateConfig) -> CurateConfig:
        value.check_splits()
        return value

    @field_validator("other_images")
    @classmethod
    def _names_are_free(cls, value: dict[str, CurateConfig]) -> dict[str, CurateConfig]:
        taken = sorted({"", PLANES_AT, LORA_AT} & set(value))
        if taken:
            raise ValueError(f"{taken[0]!r} is a place of the study; give these images another name")
        return value

    @field_validator("classifier_seeds")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError("duplicate seed; the same classifier would be counted as two")
        return value

    @model_validator(mode="after")
    def _arms_are_distinct(self) -> "FuLoraConfig":
        names = [*self.arms, *self.clip_arms]
        taken = sorted({REAL, HYBRID, PROMPT, FEW_SHOT} & set(names) | set(self.arms) & set(self.clip_arms))
        if taken:
            raise ValueError(f"arms: {', '.join(taken)} is taken; give another name")
        check_arm_names(names)
        unnamed = sorted({arm.images for arm in self.arms.values()} - {"", *self.other_images})
        if unnamed:
            known = ", ".join(self.other_images) or "none"
            raise ValueError(f"arms: other_images has no {unnamed[0]!r}; it has {known}")
        known_arms = ", ".join(self.all_arms())
        missing = sorted({arm.images for arm in self.clip_arms.values()} - set(self.all_arms()))
        if missing:
            raise ValueError(f"clip_arms: no arm {missing[0]!r} whose images to take; there are {known_arms}")
        few = [FEW_SHOT] if self.few_shot is not None else []
        self.score.comparisons.check([*self.all_arms(), PROMPT, *self.clip_arms, *few])
        return self

    @model_validator(mode="after")
    def _generators_exist(self) -> "FuLoraConfig":
        known = ", ".join(self.synthetic)
        places = [PLANES_AT, *([LORA_AT] if self.lora_images is not None else []), *self.other_images]
        for name, one in self.synthetic.items():
            if one.start not in (None, *places):
                raise ValueError(f"synthetic.{name}.start: no images {one.start!r}; there are {', '.join(places)}")
        for name, arm in self.all_arms().items():
            if arm.synthetic not in (None, *self.synthetic):
                raise ValueError(f"arms: {name!r} adds images of {arm.synthetic!r}; the generators are {known}")
        if self.closeness.baseline not in (None, *self.synthetic):
            raise ValueError(f"closeness.baseline: no generator {self.closeness.baseline!r}; there are {known}")
        return self

    @model_validator(mode="after")
    def _derived_configs_are_valid(self) -> "FuLoraConfig":
        """Validate every config that is derived from this one; errors name the arm."""
        seeded = {"classifier": self.classifier.seed} | {
            f"clip_arms.{name}.tune": arm.tune.seed for name, arm in self.clip_arms.items() if arm.tune is not None
        }
        if unused := next((where for where, seed in seeded.items() if seed), None):
            raise ValueError(
                f"{unused}.seed={seeded[unused]} would not be used: each is trained with all classifier_seeds"
            )
        for name, arm in self.all_arms().items():
            with locate_errors(f"arms.{name}"):
                for seed in self.classifier_seeds:
                    arm.classifier(self.classifier, seed)
            for filter_name, advice in self._unavailable_filters().items():
                if arm.mix is not None and arm.mix.arm == "hybrid" and filter_name in arm.mix.filters:
                    raise ValueError(f"arms.{name}: mix.filters: {advice}")
        for name, clip_arm in self.clip_arms.items():
            if clip_arm.tune is not None:
                tuning_configs(name, clip_arm.tune, self.classifier_seeds)
        if self.judge is not None:
            judge_configs(self.judge, self.classifier)
        return self

    @model_validator(mode="after")
    def _curves_are_distinct(self) -> "FuLoraConfig":
        """The report shows the losses of LoRAs, classifiers, CLIPs and networks under their names."""
        trained = [*self.all_arms(), *(name for name, arm in self.clip_arms.items() if arm.tune is not None)]
        names = [name for name, one in self.synthetic.items() if one.lora is not None]
        names += [str(Training(name, seed)) for name in trained for seed in self.classifier_seeds]
        names += self.segmentation.arm_names() if self.segmentation else []
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"{twice!r} would name two trainings: a generator, arm or network needs another name")
        return self

    def _unavailable_filters(self) -> dict[str, str]:
        """Filters that need what this study lacks, and what to do about it."""
        advice = {}
        if self.judge is None:
            advice["plane"] = "plane asks judges, and there are none; set judge: {folds: 4}"
        if "clip" not in self.assess.encoders:
            advice["clip"] = "clip asks the study's CLIP; add clip to assess.encoders"
        return advice

    def all_arms(self) -> dict[str, ArmConfig]:
        """Return the arms of classifiers by name."""
        return build_arms(
            self.mix,
            self.arms,
            self.ratios,
            self.real_per_plane,
            self.crossed_with_augmentation,
            self.default_generator,
        )

    def names_of_images(self) -> list[str]:
        """Return the names of the real images that arms use: "" for `planes`, and others."""
        return list(dict.fromkeys(["", *(arm.images for arm in self.all_arms().values())]))

    @model_validator(mode="after")
    def _backbone_is_not_trained_on_test_data(self) -> "FuLoraConfig":
        seen = set(self.backbone.images.folders()) if isinstance(self.backbone, OnSiteBackbone) else set()
        outside = [source.input_paths() for source in self.planes.sources if "test" in source.split_shares()]
        both = sorted(seen & {one["folder"].as_posix() for one in outside if "folder" in one})
        if both:
            raise ValueError(f"backbone.images reads {', '.join(both)}, which planes keeps for the test")
        return self
