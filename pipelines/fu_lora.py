"""The FU-LoRA study, every stage in order: fine-tune, generate, mix, measure if it helps on people never seen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator

from fulora.classification.config import ClassifierConfig
from fulora.clip.config import ZeroShotConfig
from fulora.config import Config, Runtime
from fulora.data.hybrid import MixConfig
from fulora.data.labels import PLANES
from fulora.data.manifest import ImageSet
from fulora.data.results import PROMPT, LeakTable, Predictions, Report, ScoreConfig, Scores
from fulora.data.weights import Backbone, ClassifierWeights, LoraWeights
from fulora.diffusion.config import GenerateConfig, LoraConfig
from fulora.intake.config import CurateConfig, FolderSourceConfig, PhantomsConfig, PsfhsConfig
from fulora.stage import Artifact, Source
from fulora.workspace import Workspace
from pipelines import segmentation
from pipelines.arms import HYBRID, REAL, ArmConfig, arms_of, mixed, sweeps_of
from pipelines.backbones import BackboneConfig, OnSite, foundations, get_models
from pipelines.segmentation import SegmentationConfig
from pipelines.sources import curated
from pipelines.stages.assess import AssessConfig, assess
from pipelines.stages.check_leaks import check_leaks
from pipelines.stages.classify import classify
from pipelines.stages.generate import generate
from pipelines.stages.report import ReportConfig, report
from pipelines.stages.score import score
from pipelines.stages.score_heads import score_heads
from pipelines.stages.train_classifier import train_classifier
from pipelines.stages.train_lora import train_lora
from pipelines.stages.zero_shot import zero_shot


class FuLoraConfig(Config):
    """The whole study. `planes.sources` gives the training population and, in the test split, the unseen one.

    Attributes:
        data_root: the folder that sources' folders stand in.
        other_images: further sets of real images that arms may train on, by name.
        lora_images: what the LoRA is trained on, where that is not the training split of `planes`.
        other_ranks: LoRAs of these ranks, alpha as high, are trained as well, to be compared.
        prior: images of the base that the LoRA must not unlearn.
        mix: what the arm `hybrid` mixes.
        arms: others than `real` and `hybrid`, by name.
        ratios: a sweep: an arm for each ratio of added images to real ones.
        real_per_plane: a learning curve: `real` and `hybrid` with so many real images of each plane.
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
    assess: AssessConfig = Field(default_factory=AssessConfig)
    mix: MixConfig = Field(default_factory=MixConfig)
    zero_shot: ZeroShotConfig = Field(default_factory=ZeroShotConfig)
    classifier: ClassifierConfig = Field(default_factory=ClassifierConfig)
    classifier_file: Annotated[Path | None, Runtime] = None
    classifier_seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    arms: dict[str, ArmConfig] = Field(default_factory=dict)
    ratios: tuple[NonNegativeFloat, ...] = ()
    real_per_plane: tuple[PositiveInt, ...] = ()
    crossed_with_augmentation: bool = False
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
        taken = sorted({REAL, HYBRID, PROMPT} & set(self.arms))
        if taken:
            raise ValueError(f"arms: {', '.join(taken)} is there already; give another name")
        doubtful = sorted(name for name in self.arms if " - " in name)
        if doubtful:
            raise ValueError(f"arms: {doubtful[0]!r} would read as a difference of two arms; write it without ' - '")
        unnamed = sorted({arm.images for arm in self.arms.values()} - {"", *self.other_images})
        if unnamed:
            raise ValueError(
                f"arms: other_images has no {unnamed[0]!r}; it has {', '.join(self.other_images) or 'none'}"
            )
        unknown = sorted(set(self.score.contrast) - set(self.all_arms()))
        if unknown:
            raise ValueError(f"score.contrast: no arm {unknown[0]!r}; there are {', '.join(self.all_arms())}")
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
    real = curated(cfg.planes, cfg.data_root, work)
    shown = real if cfg.lora_images is None else curated(cfg.lora_images, cfg.data_root, work)
    others = {name: curated(images, cfg.data_root, work) for name, images in cfg.other_images.items()}
    leaks = check(cfg, work, real, {"LoRA": shown, **others})
    backbone, clip = get_models(cfg.backbone, cfg.data_root, work)
    loras = train_loras(cfg, work, real, shown, backbone)
    lora = loras["LoRA"]
    synthetic = work.each(
        {
            "base": generate.call(cfg.generate, backbone=backbone, lora=None),
            "LoRA": generate.call(cfg.generate, backbone=backbone, lora=lora),
        }
    )
    fidelity = work.run(assess, cfg.assess, real=real, synthetic=synthetic)
    classifiers, predictions = compare(cfg, work, {"": real, **others}, synthetic)
    predictions[PROMPT] = [work.run(zero_shot, cfg.zero_shot, images=real, clip=clip)]

    scores: dict[str, Scores] = {
        "generation": fidelity,
        "classification": work.run(score, cfg.score, predictions=predictions),
    }
    compared = [_named(arm, cfg.classifier_seeds[0]) for arm in cfg.score.contrast]
    curves: dict[str, Artifact] = {**loras, **{name: classifiers[name] for name in compared}}
    heads = segmentation.evaluate(cfg.segmentation, cfg.data_root, work) if cfg.segmentation else None
    if heads:
        scores["segmentation"] = work.run(score_heads, cfg.score, measurements=heads.measurements)
        curves["U-Net"] = heads.unet
    return work.run(
        report,
        cfg.report,
        real=real,
        synthetic=synthetic,
        scores=scores,
        predictions=predictions,
        sweeps=sweeps_of(cfg.mix, cfg.ratios, cfg.real_per_plane),
        leaks=leaks,
        curves=curves,
        heads=heads.images if heads else None,
        masks=heads.masks if heads else None,
        measurements=heads.measurements if heads else None,
    )


def check(cfg: FuLoraConfig, work: Workspace, real: ImageSet, others: Mapping[str, ImageSet]) -> LeakTable:
    """The leak gate: every set of real images that something is fitted to, against the test split of `real`.

    Args:
        others: what the LoRA and some arms are trained on, by name.
    """
    trained_on = {"classifiers and tuned CLIPs": real, **others}
    if isinstance(cfg.backbone, OnSite):
        trained_on["backbone and CLIP"] = curated(cfg.backbone.images, cfg.data_root, work)
    return work.run(check_leaks, tested_on=real, trained_on=trained_on, foundations=foundations(cfg.backbone))


def train_loras(
    cfg: FuLoraConfig, work: Workspace, real: ImageSet, images: ImageSet, backbone: Backbone | Source
) -> dict[str, LoraWeights]:
    """The study's LoRA and those of other ranks. Nobody in the validation or test split of `real` is trained on."""
    prior = None if cfg.prior is None else work.run(generate, cfg.prior, backbone=backbone, lora=None)
    configs = {"LoRA": cfg.lora}
    for rank in cfg.other_ranks:
        configs[f"LoRA of rank {rank}"] = cfg.lora.model_copy(update={"rank": rank, "alpha": float(rank)})
    return work.each(
        {
            name: train_lora.call(config, backbone=backbone, images=images, prior=prior, tested_on=real)
            for name, config in configs.items()
        }
    )


def compare(
    cfg: FuLoraConfig, work: Workspace, real: Mapping[str, ImageSet], synthetic: Mapping[str, ImageSet]
) -> tuple[dict[str, ClassifierWeights], dict[str, list[Predictions]]]:
    """A classifier for every arm and seed, and its predictions on the study's test split, by arm.

    Args:
        real: the study's images, which have no name, and the further ones.
    """
    arms = cfg.all_arms()
    images = mixed(arms, work, real, synthetic)
    hint = "Or set classifier.weights=none."
    start = work.read(cfg.data_root / cfg.classifier_file, hint=hint) if cfg.classifier_file else None
    configs = {
        (name, seed): arm.classifier(cfg.classifier, seed)
        for name, arm in arms.items()
        for seed in cfg.classifier_seeds
    }
    classifiers = work.each(
        {
            _named(name, seed): train_classifier.call(config, images=images[name], start=start)
            for (name, seed), config in configs.items()
        }
    )
    found = work.each(
        {
            _named(name, seed): classify.call(
                real[""], classifiers[_named(name, seed)], trained_on=images[name], balanced=config.balanced
            )
            for (name, seed), config in configs.items()
        }
    )
    return classifiers, {arm: [found[_named(arm, seed)] for seed in cfg.classifier_seeds] for arm in arms}


def _named(arm: str, seed: int) -> str:
    return f"{arm}, seed {seed}"
