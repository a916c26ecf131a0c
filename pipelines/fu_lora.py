"""The FU-LoRA study, every stage in order: fine-tune, generate, mix, measure if it helps on people never seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator

from fulora.assessment.config import AssessConfig, JudgeConfig
from fulora.classification.config import ClassifierConfig
from fulora.clip.config import ZeroShotConfig
from fulora.config import Config, Runtime
from fulora.data.hybrid import MixConfig
from fulora.data.labels import PLANES
from fulora.data.manifest import ImageSet
from fulora.data.results import PROMPT, LeakTable, Predictions, Report, ScoreConfig, Scores
from fulora.data.screened import Assessment
from fulora.data.weights import Backbone, ClassifierWeights, ClipWeights, LoraWeights
from fulora.diffusion.config import GenerateConfig, LoraConfig
from fulora.intake.config import CurateConfig, FolderSourceConfig, PhantomsConfig, PsfhsConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines import assessment, segmentation
from pipelines.arms import HYBRID, REAL, ArmConfig, arms_of, mixed, sweeps_of
from pipelines.backbones import BackboneConfig, OnSite, foundations, get_models
from pipelines.clip_arms import FEW_SHOT, ClipArmConfig, FewShotConfig, Prompted, compare_clips, few_shot
from pipelines.segmentation import SegmentationConfig
from pipelines.sources import curated
from pipelines.stages.check_leaks import check_leaks
from pipelines.stages.classify import classify
from pipelines.stages.generate import generate
from pipelines.stages.report import ReportConfig, report
from pipelines.stages.score import score
from pipelines.stages.score_generation import GenerationScoreConfig, score_generation
from pipelines.stages.train_classifier import train_classifier
from pipelines.stages.train_lora import train_lora

LORA = "LoRA"
"""The name of the images that LoRAs are trained on, and of the study's LoRA."""
NO_START = "Or set classifier.weights=none."


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

    @model_validator(mode="after")
    def _backbone_has_not_seen_the_test(self) -> "FuLoraConfig":
        seen = set(self.backbone.images.folders()) if isinstance(self.backbone, OnSite) else set()
        tested = {s.folder for s in self.planes.sources if isinstance(s, FolderSourceConfig) and "test" in s.shares()}
        if seen & tested:
            raise ValueError(
                f"backbone.images reads {', '.join(sorted(seen & tested))}, which planes keeps for the test"
            )
        return self


def run(cfg: FuLoraConfig, work: Workspace) -> Report:
    """Every stage of the study, in order."""
    images = curated_sets(cfg, work)
    real, leaks = images[""], check(cfg, work, images)
    backbone, clip = get_models(cfg.backbone, cfg.data_root, work)
    loras = train_loras(cfg, work, images, backbone)
    synthetic = work.each(
        {
            "base": generate.call(cfg.generate, backbone=backbone, lora=None),
            "LoRA": generate.call(cfg.generate, backbone=backbone, lora=loras["LoRA"]),
        }
    )
    start = work.read(cfg.data_root / cfg.classifier_file, hint=NO_START) if cfg.classifier_file else None
    found = assess_all(cfg, work, images, synthetic, clip, start)
    sets = mixed(cfg.all_arms(), work, images, synthetic, found)
    classifiers, predictions = compare(cfg, work, real, sets, start)
    clips = compare_clips(cfg.clip_arms, sets, cfg.classifier_seeds, Prompted(clip, cfg.zero_shot, real), work)
    predictions |= clips.predictions
    if cfg.few_shot is not None:
        predictions[FEW_SHOT] = few_shot(cfg.few_shot, images[FEW_SHOT], Prompted(clip, cfg.zero_shot, real), work)
    heads = segmentation.evaluate(cfg.segmentation, cfg.data_root, work) if cfg.segmentation else None
    unets = {arm: seeds[0][0] for arm, seeds in heads.compared.unets.items()} if heads else {}
    return work.run(
        report,
        cfg.report,
        real=real,
        synthetic=synthetic,
        assessments=found,
        trained_on=images.get(LORA, real),
        scores=score_all(cfg, work, real, synthetic, predictions, heads),
        predictions=predictions,
        forgetting=clips.forgetting,
        leaks=leaks,
        sweeps=sweeps_of(cfg.mix, cfg.ratios, cfg.real_per_plane),
        curves={**loras, **classifiers, **clips.curves, **unets},
        heads=heads.images if heads else None,
        masks={arm: seeds[0] for arm, seeds in heads.compared.masks.items()} if heads else {},
        measurements=heads.compared.measurements if heads else {},
    )


def score_all(
    cfg: FuLoraConfig,
    work: Workspace,
    real: ImageSet,
    synthetic: Mapping[str, ImageSet],
    predictions: Mapping[str, Sequence[Predictions]],
    heads: segmentation.Segmentation | None,
) -> dict[str, Scores]:
    """Scores of what was generated, classified and segmented."""
    return {
        "generation": work.run(score_generation, cfg.closeness, real=real, synthetic=synthetic),
        "classification": work.run(score, cfg.score, predictions=predictions),
        **({"segmentation": heads.scores} if heads else {}),
    }


def curated_sets(cfg: FuLoraConfig, work: Workspace) -> dict[str, ImageSet]:
    """The study's images, which have no name, and all further ones that something is fitted to."""
    named = {"": cfg.planes, **cfg.other_images}
    if cfg.lora_images is not None:
        named[LORA] = cfg.lora_images
    if cfg.few_shot is not None:
        named[FEW_SHOT] = cfg.few_shot.images
    return {name: curated(images, cfg.data_root, work) for name, images in named.items()}


def check(cfg: FuLoraConfig, work: Workspace, images: Mapping[str, ImageSet]) -> LeakTable:
    """The leak gate: every set of real images that something is fitted to, against the study's test split.

    The few patients of a few-shot head are of that split: it is tested on others, which its stage checks.
    """
    trained_on = {name or "classifiers and tuned CLIPs": found for name, found in images.items() if name != FEW_SHOT}
    if cfg.lora_images is None:
        trained_on[LORA] = images[""]
    if isinstance(cfg.backbone, OnSite):
        trained_on["backbone and CLIP"] = curated(cfg.backbone.images, cfg.data_root, work)
    return work.run(check_leaks, images[""], trained_on=trained_on, foundations=foundations(cfg.backbone))


def train_loras(
    cfg: FuLoraConfig, work: Workspace, images: Mapping[str, ImageSet], backbone: Backbone | Source
) -> dict[str, LoraWeights]:
    """The study's LoRA and those of other ranks. Nobody in the validation or test split of the study is trained on."""
    shown, real = images.get(LORA, images[""]), images[""]
    prior = None if cfg.prior is None else work.run(generate, cfg.prior, backbone=backbone, lora=None)
    configs = {"LoRA": cfg.lora}
    for rank in cfg.other_ranks:
        configs[f"LoRA of rank {rank}"] = cfg.lora.model_copy(update={"rank": rank, "alpha": float(rank)})
    return work.each(
        {
            name: train_lora.call(config, backbone=backbone, images=shown, prior=prior, tested_on=real)
            for name, config in configs.items()
        }
    )


def assess_all(
    cfg: FuLoraConfig,
    work: Workspace,
    images: Mapping[str, ImageSet],
    synthetic: Mapping[str, ImageSet],
    clip: ClipWeights | Source,
    start: Source | None,
) -> dict[str, Assessment]:
    """What is found of each synthetic set: against those who trained the LoRA, and the study's validation patients."""
    real = images[""]
    judges = assessment.trained_judges(cfg.judge, cfg.classifier, real, start, work)
    trained_on = images.get(LORA, real)
    return assessment.assessed(
        cfg.assess, work, synthetic, trained_on, real, clip=clip, prompts=cfg.zero_shot.prompts, judges=judges
    )


def compare(
    cfg: FuLoraConfig, work: Workspace, real: ImageSet, sets: Mapping[str, ImageSet], start: Source | None
) -> tuple[dict[str, ClassifierWeights], dict[str, list[Predictions]]]:
    """A classifier for every arm and seed, and its predictions on the test split of `real`, by arm.

    Returns:
        Of the contrast's arms the first seed's classifiers, whose losses are told; predictions by arm, one a seed.
    """
    arms = cfg.all_arms()
    configs = {
        (name, seed): arm.classifier(cfg.classifier, seed)
        for name, arm in arms.items()
        for seed in cfg.classifier_seeds
    }
    classifiers = work.each(
        {
            _named(name, seed): train_classifier.call(config, images=sets[name], start=start)
            for (name, seed), config in configs.items()
        }
    )
    found = work.each(
        {
            _named(name, seed): classify.call(
                real, classifiers[_named(name, seed)], trained_on=sets[name], balanced=config.balanced
            )
            for (name, seed), config in configs.items()
        }
    )
    told = {_named(arm, cfg.classifier_seeds[0]) for arm in cfg.score.contrast}
    by_arm = {arm: [found[_named(arm, seed)] for seed in cfg.classifier_seeds] for arm in arms}
    return {name: model for name, model in classifiers.items() if name in told}, by_arm


def _named(arm: str, seed: int) -> str:
    return f"{arm}, seed {seed}"
