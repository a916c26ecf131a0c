"""The FU-LoRA study, every stage in order: fine-tune, generate, mix, measure if it helps on people never seen."""

from collections.abc import Mapping, Sequence

from fulora.data.class_counts import check_classes, class_counts
from fulora.data.manifest import ImageSet
from fulora.data.results import LeakTable, Predictions, Report, Scores
from fulora.data.screened import Assessment
from fulora.data.weights import Backbone, ClassifierWeights, ClipWeights, LoraWeights
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines import assessment, segmentation
from pipelines.arms import mixed, sweeps_of
from pipelines.backbones import OnSite, at_hand, get_models
from pipelines.clip_arms import FEW_SHOT, Prompted, compare_clips, few_shot
from pipelines.fu_lora_config import FuLoraConfig
from pipelines.sources import curated, labels_of
from pipelines.stages.check_leaks import check_leaks
from pipelines.stages.classify import classify
from pipelines.stages.generate import generate
from pipelines.stages.report import report
from pipelines.stages.score import score
from pipelines.stages.score_generation import score_generation
from pipelines.stages.train_classifier import train_classifier
from pipelines.stages.train_lora import train_lora

LORA = "LoRA"
"""The name of the images that LoRAs are trained on, and of the study's LoRA."""
NO_START = "Or set classifier.weights=none."


def run(cfg: FuLoraConfig, work: Workspace) -> Report:
    """Every stage of the study, in order."""
    images = curated_sets(cfg, work)
    training = training_sets(cfg, work, images)
    real, leaks = images[""], check(cfg, work, images)
    backbone, clip = get_models(cfg.backbone, cfg.data_root, work)
    loras = train_loras(cfg, work, images, backbone)
    labels = labels_of(cfg.planes, cfg.data_root)
    synthetic = work.each(
        {
            "base": generate.call(cfg.generate, backbone=backbone, lora=None, labels=labels),
            "LoRA": generate.call(cfg.generate, backbone=backbone, lora=loras["LoRA"], labels=labels),
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
        training=training,
        few=images.get(FEW_SHOT),
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


def training_sets(cfg: FuLoraConfig, work: Workspace, images: Mapping[str, ImageSet]) -> dict[str, ImageSet]:
    """The real images that classifiers are trained on, by their place in the config.

    Raises:
        MissingClassError: once they are curated, a class that only they or only the test images show.
    """
    training = {f"other_images.{name}" if name else "planes": images[name] for name in cfg.names_of_images()}
    if not work.plan:
        check_classes(class_counts(training, images[""]), cfg.accept_missing_classes)
        if FEW_SHOT in images:
            few = class_counts({"few_shot.images": images[FEW_SHOT]}, images[FEW_SHOT])
            check_classes(few, cfg.accept_missing_classes)
    return training


def check(cfg: FuLoraConfig, work: Workspace, images: Mapping[str, ImageSet]) -> LeakTable:
    """The leak gate: every set of real images that something is fitted to, against the study's test split.

    The few patients of a few-shot head are of that split: it is tested on others, which its stage checks.
    """
    trained_on = {name or "classifiers and tuned CLIPs": found for name, found in images.items() if name != FEW_SHOT}
    if cfg.lora_images is None:
        trained_on[LORA] = images[""]
    pretrained_on = {}
    if isinstance(cfg.backbone, OnSite):
        pretrained_on["backbone and CLIP"] = curated(cfg.backbone.images, cfg.data_root, work)
    weights = at_hand(cfg.backbone, cfg.data_root, work)
    return work.run(check_leaks, images[""], trained_on=trained_on, pretrained_on=pretrained_on, weights=weights)


def train_loras(
    cfg: FuLoraConfig, work: Workspace, images: Mapping[str, ImageSet], backbone: Backbone | Source
) -> dict[str, LoraWeights]:
    """The study's LoRA and those of other ranks. Nobody in the validation or test split of the study is trained on."""
    shown, real = images.get(LORA, images[""]), images[""]
    labels = labels_of(cfg.lora_images or cfg.planes, cfg.data_root)
    prior = None if cfg.prior is None else work.run(generate, cfg.prior, backbone=backbone, lora=None, labels=labels)
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
