"""The FU-LoRA study, every stage in order: fine-tune, generate, mix, and test on held-out patients whether it helps."""

from collections.abc import Mapping

from fulora.data.image_set import ImageSet
from fulora.data.results import PROMPT, Predictions, Report
from fulora.data.weights import Backbone, ClassifierWeights, LoraWeights
from fulora.report.parts import (
    ArmDesign,
    AssessmentPart,
    ClassificationPart,
    ForgettingPart,
    GenerationPart,
    ReportPart,
    TrainingPart,
)
from fulora.stage import Artifact, Source
from fulora.workspace import Workspace
from pipelines import assessment, segmentation
from pipelines.arms import build_sweeps, mix_arms
from pipelines.backbones import get_backbone, get_clip
from pipelines.clip_arms import FEW_SHOT, PromptedClip, compare_clips
from pipelines.fu_lora_config import FuLoraConfig
from pipelines.generators import distinct_loras, generate_sets, train_loras
from pipelines.stages.classify import classify
from pipelines.stages.generate import generate
from pipelines.stages.report import report
from pipelines.stages.score import score
from pipelines.stages.score_generation import score_generation
from pipelines.stages.train_classifier import train_classifier
from pipelines.study_images import StudyImages, check_study_classes, check_study_leaks, curate_images
from pipelines.study_inputs import labels_of
from pipelines.training_key import Training

NO_START = "Or set classifier.weights=none."


def run(cfg: FuLoraConfig, work: Workspace) -> Report:
    """Every stage of the study, in order."""
    images = curate_images(cfg, work)
    training, leaks = check_study_classes(cfg, work, images), check_study_leaks(cfg, work, images)
    real = images.planes
    backbone, clip = get_backbone(cfg.backbone, cfg.data_root, work), get_clip(cfg.backbone, cfg.data_root, work)
    loras, synthetic = generate_images(cfg, work, images, backbone)
    start = work.read(cfg.data_root / cfg.classifier_file, hint=NO_START) if cfg.classifier_file else None
    copy_sources = images.copy_sources(cfg)
    judges = assessment.get_judges(cfg.judge, cfg.classifier, real, start, work)
    assessments = assessment.assess_sets(
        cfg.assess, work, synthetic, copy_sources, real, clip=clip, prompts=cfg.zero_shot.prompts, judges=judges
    )
    sets = mix_arms(cfg.all_arms(), work, images.by_arm_name, synthetic, assessments)
    classifiers, predictions = compare_classifiers(cfg, work, real, sets, start)
    prompted = PromptedClip(clip, cfg.zero_shot, real)
    clips = compare_clips(cfg.clip_arms, sets, cfg.classifier_seeds, prompted, work)
    predictions |= clips.predictions
    if cfg.few_shot is not None and images.few_shot is not None:
        predictions[FEW_SHOT] = [prompted.probe(cfg.few_shot.probe, images.few_shot, images.few_shot, work)]
    heads = segmentation.evaluate(cfg.segmentation, cfg.data_root, work) if cfg.segmentation else None
    scores = work.run(score_generation, cfg.closeness, real=real, synthetic=synthetic)
    sections: list[ReportPart] = [
        GenerationPart(real, synthetic, scores, cfg.report.images_per_row),
        AssessmentPart(synthetic, copy_sources, real, assessments),
        ClassificationPart(
            images=real,
            training=training,
            few=images.few_shot,
            predictions=predictions,
            scores=work.run(score, cfg.score, predictions=predictions),
            sweeps=build_sweeps(cfg.mix, cfg.ratios, cfg.real_per_plane),
            leaks=leaks,
            arms=describe_arms(cfg, sets, images.few_shot),
        ),
    ]
    sections += [ForgettingPart(clips.forgetting)] if clips.forgetting else []
    curves: dict[str, Artifact] = {**distinct_loras(loras), **classifiers, **clips.curves}
    if heads is not None:
        sections.append(heads.part())
        curves |= heads.curves()
    return work.run(report, cfg.report, [*sections, TrainingPart(curves)])


def generate_images(
    cfg: FuLoraConfig, work: Workspace, images: StudyImages, backbone: Backbone | Source
) -> tuple[dict[str, LoraWeights], dict[str, ImageSet]]:
    """Train the LoRAs of the generators, and generate with each; no validation or test patient is trained on."""
    labels, for_loras = labels_of(cfg.planes, cfg.data_root), images.for_loras
    prior = None if cfg.prior is None else work.run(generate, cfg.prior, backbone=backbone, lora=None, labels=labels)
    loras = train_loras(cfg.synthetic, work, backbone=backbone, images=for_loras, prior=prior, tested_on=images.planes)
    return loras, generate_sets(
        cfg.synthetic, work, backbone=backbone, loras=loras, starts=images.starts, labels=labels
    )


def compare_classifiers(
    cfg: FuLoraConfig, work: Workspace, real: ImageSet, sets: Mapping[str, ImageSet], start: Source | None
) -> tuple[dict[str, ClassifierWeights], dict[str, list[Predictions]]]:
    """Train a classifier for every arm and seed, and predict the test split of `real`.

    Returns:
        The first seed's classifiers of the declared pair, whose losses are reported; predictions by arm, one a seed.
    """
    arms = cfg.all_arms()
    configs = {
        Training(name, seed): arm.classifier(cfg.classifier, seed)
        for name, arm in arms.items()
        for seed in cfg.classifier_seeds
    }
    classifiers = work.each(
        {key: train_classifier.call(config, images=sets[key.arm], start=start) for key, config in configs.items()}
    )
    device = cfg.classifier.device
    predictions = work.each(
        {key: classify.call(real, classifier, device=device) for key, classifier in classifiers.items()}
    )
    declared = [Training(arm, cfg.classifier_seeds[0]) for arm in cfg.score.comparisons.declared or ()]
    by_arm = {arm: [predictions[Training(arm, seed)] for seed in cfg.classifier_seeds] for arm in arms}
    return {str(key): classifiers[key] for key in declared if key in classifiers}, by_arm


def describe_arms(cfg: FuLoraConfig, sets: Mapping[str, ImageSet], few_shot: ImageSet | None) -> dict[str, ArmDesign]:
    """Return how each arm is trained: classifiers, the CLIP by prompts, CLIP arms, and the few-shot head."""
    seeds = len(cfg.classifier_seeds)
    designs = {}
    for name, arm in cfg.all_arms().items():
        config = arm.classifier(cfg.classifier, cfg.classifier_seeds[0])
        designs[name] = ArmDesign(sets[name], config.architecture, seeds, config.steps, config.epochs)
    designs[PROMPT] = ArmDesign(None, "CLIP by prompts", 1)
    for name, one in cfg.clip_arms.items():
        if one.tune is not None:
            designs[name] = ArmDesign(sets[one.images], f"CLIP, tuned ({one.tune.method})", seeds, one.tune.steps)
        elif one.probe is not None:
            designs[name] = ArmDesign(sets[one.images], f"CLIP, {one.probe.head} head", 1)
    if cfg.few_shot is not None:
        designs[FEW_SHOT] = ArmDesign(few_shot, f"CLIP, {cfg.few_shot.probe.head} head", 1)
    return designs
