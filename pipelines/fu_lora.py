"""The FU-LoRA study, every stage in order: fine-tune, generate, mix, measure if it helps on people never seen."""

from collections.abc import Mapping

from fulora.data.assessed_images import Assessment
from fulora.data.image_set import ImageSet
from fulora.data.results import Predictions, Report
from fulora.data.weights import Backbone, ClassifierWeights, ClipWeights, LoraWeights
from fulora.report.parts import (
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
from pipelines.backbones import get_models
from pipelines.clip_arms import FEW_SHOT, PromptedClip, compare_clips, few_shot
from pipelines.fu_lora_config import FuLoraConfig
from pipelines.generators import distinct_loras, generate_sets, train_loras
from pipelines.sources import labels_of
from pipelines.stages.classify import classify
from pipelines.stages.generate import generate
from pipelines.stages.report import report
from pipelines.stages.score import score
from pipelines.stages.score_generation import score_generation
from pipelines.stages.train_classifier import train_classifier
from pipelines.study_images import StudyImages, check_study_classes, check_study_leaks, curate_images
from pipelines.trainings import Training

NO_START = "Or set classifier.weights=none."


def run(cfg: FuLoraConfig, work: Workspace) -> Report:
    """Every stage of the study, in order."""
    images = curate_images(cfg, work)
    training, leaks = check_study_classes(cfg, work, images), check_study_leaks(cfg, work, images)
    real = images.planes
    backbone, clip = get_models(cfg.backbone, cfg.data_root, work)
    loras, synthetic = generate_images(cfg, work, images, backbone)
    start = work.read(cfg.data_root / cfg.classifier_file, hint=NO_START) if cfg.classifier_file else None
    found = assess_all(cfg, work, images, synthetic, clip, start)
    sets = mix_arms(cfg.all_arms(), work, images.by_arm_name, synthetic, found)
    classifiers, predictions = compare_classifiers(cfg, work, real, sets, start)
    asked = PromptedClip(clip, cfg.zero_shot, real)
    clips = compare_clips(cfg.clip_arms, sets, cfg.classifier_seeds, asked, work)
    predictions |= clips.predictions
    if cfg.few_shot is not None and images.few_shot is not None:
        predictions[FEW_SHOT] = few_shot(cfg.few_shot, images.few_shot, asked, work)
    heads = segmentation.evaluate(cfg.segmentation, cfg.data_root, work) if cfg.segmentation else None
    scores = work.run(score_generation, cfg.closeness, real=real, synthetic=synthetic)
    sections: list[ReportPart] = [
        GenerationPart(real, synthetic, scores, cfg.report.images_per_row),
        AssessmentPart(synthetic, images.copy_sources(cfg), real, found),
        ClassificationPart(
            images=real,
            training=training,
            few=images.few_shot,
            predictions=predictions,
            scores=work.run(score, cfg.score, predictions=predictions),
            sweeps=build_sweeps(cfg.mix, cfg.ratios, cfg.real_per_plane),
            leaks=leaks,
        ),
    ]
    if clips.forgetting:
        sections.append(ForgettingPart(clips.forgetting))
    curves: dict[str, Artifact] = {**distinct_loras(loras), **classifiers, **clips.curves}
    if heads is not None:
        sections.append(heads.part())
        curves |= heads.curves()
    return work.run(report, cfg.report, [*sections, TrainingPart(curves)])


def generate_images(
    cfg: FuLoraConfig, work: Workspace, images: StudyImages, backbone: Backbone | Source
) -> tuple[dict[str, LoraWeights], dict[str, ImageSet]]:
    """The LoRAs of the study's generators, and what each generator draws.

    Nobody in the validation or test split of the study is trained on.
    """
    labels, shown = labels_of(cfg.planes, cfg.data_root), images.for_loras
    prior = None if cfg.prior is None else work.run(generate, cfg.prior, backbone=backbone, lora=None, labels=labels)
    loras = train_loras(cfg.synthetic, work, backbone=backbone, images=shown, prior=prior, tested_on=images.planes)
    return loras, generate_sets(
        cfg.synthetic, work, backbone=backbone, loras=loras, starts=images.starts, labels=labels
    )


def assess_all(
    cfg: FuLoraConfig,
    work: Workspace,
    images: StudyImages,
    synthetic: Mapping[str, ImageSet],
    clip: ClipWeights | Source,
    start: Source | None,
) -> dict[str, Assessment]:
    """What is found of each synthetic set: against whom it may show, and the study's validation patients."""
    judges = assessment.trained_judges(cfg.judge, cfg.classifier, images.planes, start, work)
    return assessment.assess_sets(
        cfg.assess,
        work,
        synthetic,
        images.copy_sources(cfg),
        images.planes,
        clip=clip,
        prompts=cfg.zero_shot.prompts,
        judges=judges,
    )


def compare_classifiers(
    cfg: FuLoraConfig, work: Workspace, real: ImageSet, sets: Mapping[str, ImageSet], start: Source | None
) -> tuple[dict[str, ClassifierWeights], dict[str, list[Predictions]]]:
    """A classifier for every arm and seed, and its predictions on the test split of `real`, by arm.

    Returns:
        Of the declared pair the first seed's classifiers, whose losses are told; predictions by arm, one a seed.
    """
    arms = cfg.all_arms()
    configs = {
        Training(name, seed): arm.classifier(cfg.classifier, seed)
        for name, arm in arms.items()
        for seed in cfg.classifier_seeds
    }
    classifiers = work.each(
        {one: train_classifier.call(config, images=sets[one.arm], start=start) for one, config in configs.items()}
    )
    found = work.each(
        {
            one: classify.call(real, classifiers[one], trained_on=sets[one.arm], balanced=config.balanced)
            for one, config in configs.items()
        }
    )
    told = [Training(arm, cfg.classifier_seeds[0]) for arm in cfg.score.comparisons.declared or ()]
    by_arm = {arm: [found[Training(arm, seed)] for seed in cfg.classifier_seeds] for arm in arms}
    return {str(one): classifiers[one] for one in told if one in classifiers}, by_arm
