"""All early checks of each study, before anything is planned or curated."""

from pathlib import Path

from fulora.config import Config
from fulora.data.column_types import Split
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.models.native_size import NativeSize
from fulora.diffusion.sampling.config import GenerateConfig
from pipelines.assessment import IMAGES_AT, AssessmentStudyConfig
from pipelines.backbones import OnSiteBackbone
from pipelines.checks.backbones import check_models
from pipelines.checks.classes import check_classes, check_generated_classes, check_generator_names
from pipelines.checks.findings import Findings
from pipelines.checks.images import ExpectedSet, Sources
from pipelines.checks.mixing import check_mixing
from pipelines.checks.networks import check_segmentation
from pipelines.checks.prompts import check_prompts
from pipelines.checks.sizes import check_generated_size, check_lora_sizes
from pipelines.curation import CurationConfig
from pipelines.fu_lora_config import LORA_AT, PLANES_AT, FuLoraConfig
from pipelines.generators import Generators
from pipelines.lora_training import LoraTrainingConfig
from pipelines.pretraining import PretrainingConfig
from pipelines.segmentation import SegmentationStudyConfig

ENCODED: tuple[Split, ...] = ("train", "validation")
"""The splits whose images are encoded by the training of a LoRA."""


def check_study(values: Config, work: Path) -> Findings:
    """Return the findings on a study that need no curation.

    Lists, file names and, for images of native size, file headers are read; the time grows with their number.

    Args:
        work: the folder of artifacts.
    """
    findings = Findings()
    root = values.data_root if hasattr(values, "data_root") else Path()
    sources = Sources(findings, root)
    match values:
        case FuLoraConfig():
            _fu_lora(findings, sources, values, work)
        case SegmentationStudyConfig():
            check_segmentation(findings, sources, values, "", work)
        case AssessmentStudyConfig():
            _assessment(findings, sources, values, work)
        case LoraTrainingConfig():
            images = sources.expect("images", values.images)
            native = check_models(findings, sources, "backbone", values.backbone, work, clip=False)
            check_lora_sizes(findings, "lora", "images", values.lora, images.sizes(*ENCODED), native)
        case CurationConfig():
            for name, config in values.sets.items():
                sources.expect(f"sets.{name}", config)
        case PretrainingConfig():
            check_models(findings, sources, "models", values.models, work)
    return findings


def _fu_lora(findings: Findings, sources: Sources, cfg: FuLoraConfig, work: Path) -> None:
    planes = sources.expect(PLANES_AT, cfg.planes)
    others = {name: sources.expect(f"other_images.{name}", images) for name, images in cfg.other_images.items()}
    lora_at, lora_images = PLANES_AT, planes
    if cfg.lora_images is not None:
        lora_at, lora_images = LORA_AT, sources.expect(LORA_AT, cfg.lora_images)
    sources.require("classifier_file", cfg.classifier_file, "Or set classifier.weights=none.")
    native = check_models(findings, sources, "backbone", cfg.backbone, work)
    _generators(findings, cfg.synthetic, cfg.lora, cfg.generate, lora_at, lora_images, native)
    if cfg.prior is not None:
        check_generated_size(findings, "prior", cfg.prior, native)
    check_classes(findings, sources, cfg)
    labels = sources.labels(PLANES_AT, cfg.planes)
    if labels is not None:
        on_site = cfg.backbone.images if native is not None and isinstance(cfg.backbone, OnSiteBackbone) else None
        check_prompts(findings, cfg, labels, None if on_site is None else sources.labels("backbone.images", on_site))
    check_generated_classes(
        findings, cfg.synthetic, labels, lora_at, lora_images, {PLANES_AT: planes, lora_at: lora_images, **others}
    )
    training = {name: images.counts("train") if images.complete else None for name, images in others.items()}
    check_mixing(findings, cfg, {"": planes.counts("train") if planes.complete else None, **training}, labels)
    if cfg.segmentation is not None:
        check_segmentation(findings, sources, cfg.segmentation, "segmentation.", work)


def _generators(
    findings: Findings,
    generators: Generators,
    lora: LoraConfig,
    generate: GenerateConfig,
    images_at: str,
    images: ExpectedSet,
    native: NativeSize | None,
) -> None:
    """Check the sizes of training and generated images; `lora` and `generate` are those of the study."""
    for name, one in generators.items():
        if one.lora is not None:
            where = "lora" if one.lora == lora else f"synthetic.{name}.lora"
            check_lora_sizes(findings, where, images_at, one.lora, images.sizes(*ENCODED), native)
        where = "generate" if one.generate == generate else f"synthetic.{name}.generate"
        check_generated_size(findings, where, one.generate, native)


def _assessment(findings: Findings, sources: Sources, cfg: AssessmentStudyConfig, work: Path) -> None:
    images = sources.expect(IMAGES_AT, cfg.images)
    native = check_models(findings, sources, "backbone", cfg.backbone, work, clip=False)
    check_models(findings, sources, "clip", cfg.clip, work)
    sources.require("classifier_file", cfg.classifier_file, "Or set classifier.weights=none.")
    _generators(findings, cfg.synthetic, cfg.lora, cfg.generate, IMAGES_AT, images, native)
    labels = sources.labels(IMAGES_AT, cfg.images)
    if labels is not None:
        check_generator_names(findings, cfg.generate, cfg.synthetic, labels)
    check_generated_classes(findings, cfg.synthetic, labels, IMAGES_AT, images, {IMAGES_AT: images})
