"""All early checks of each kind of study, before anything is planned or curated."""

from pathlib import Path

from fulora.config import Config
from fulora.data.labels import Split
from fulora.diffusion.config import GenerateConfig, LoraConfig
from fulora.diffusion.models.native_size import NativeSize
from pipelines.assessment import IMAGES_AT, AssessmentStudyConfig
from pipelines.backbones import OnSite
from pipelines.checks.classes import check_asked_for, check_classes, check_drawn_names
from pipelines.checks.findings import Findings
from pipelines.checks.images import ExpectedSet, Sources
from pipelines.checks.mixing import check_mixing
from pipelines.checks.models import check_models
from pipelines.checks.networks import check_segmentation
from pipelines.checks.prompts import check_prompts
from pipelines.checks.sizes import check_drawn_size, check_lora_sizes
from pipelines.curation import CurationConfig
from pipelines.fu_lora_config import LORA_AT, PLANES_AT, FuLoraConfig
from pipelines.generators import Generators
from pipelines.lora_training import LoraTrainingConfig
from pipelines.pretraining import PretrainingConfig
from pipelines.segmentation import SegmentationStudyConfig

HELD: tuple[Split, ...] = ("train", "validation")
"""The splits whose images a LoRA's training encodes."""


def check_study(values: Config, work: Path) -> Findings:
    """Everything about a study that can be known before it is curated.

    Lists, file names and, where pictures keep their own size, headers are read; the time grows with their number.

    Args:
        work: the folder of artifacts.
    """
    found = Findings()
    root = values.data_root if hasattr(values, "data_root") else Path()
    sources = Sources(found, root)
    match values:
        case FuLoraConfig():
            _fu_lora(found, sources, values, work)
        case SegmentationStudyConfig():
            check_segmentation(found, sources, values, "", work)
        case AssessmentStudyConfig():
            _assessment(found, sources, values, work)
        case LoraTrainingConfig():
            images = sources.expect("images", values.images)
            made = check_models(found, sources, "backbone", values.backbone, work, clip=False)
            check_lora_sizes(found, "lora", "images", values.lora, images.sizes(*HELD), made)
        case CurationConfig():
            for name, config in values.sets.items():
                sources.expect(f"sets.{name}", config)
        case PretrainingConfig():
            check_models(found, sources, "models", values.models, work)
    return found


def _fu_lora(found: Findings, sources: Sources, cfg: FuLoraConfig, work: Path) -> None:
    planes = sources.expect(PLANES_AT, cfg.planes)
    others = {name: sources.expect(f"other_images.{name}", images) for name, images in cfg.other_images.items()}
    lora_at, shown = PLANES_AT, planes
    if cfg.lora_images is not None:
        lora_at, shown = LORA_AT, sources.expect(LORA_AT, cfg.lora_images)
    sources.read("classifier_file", cfg.classifier_file, "Or set classifier.weights=none.")
    made = check_models(found, sources, "backbone", cfg.backbone, work)
    _generators(found, cfg.synthetic, cfg.lora, cfg.generate, lora_at, shown, made)
    if cfg.prior is not None:
        check_drawn_size(found, "prior", cfg.prior, made)
    check_classes(found, sources, cfg)
    labels = sources.labels(PLANES_AT, cfg.planes)
    if labels is not None:
        own = cfg.backbone.images if made is not None and isinstance(cfg.backbone, OnSite) else None
        check_prompts(found, cfg, labels, None if own is None else sources.labels("backbone.images", own))
    check_asked_for(found, cfg.synthetic, labels, lora_at, shown, {PLANES_AT: planes, lora_at: shown, **others})
    training = {name: images.counts("train") if images.complete else None for name, images in others.items()}
    check_mixing(found, cfg, {"": planes.counts("train") if planes.complete else None, **training}, labels)
    if cfg.segmentation is not None:
        check_segmentation(found, sources, cfg.segmentation, "segmentation.", work)


def _generators(
    found: Findings,
    generators: Generators,
    lora: LoraConfig,
    generate: GenerateConfig,
    images_at: str,
    images: ExpectedSet,
    made: NativeSize | None,
) -> None:
    """Whether images can be trained on and drawn at the sizes that generators ask for.

    Args:
        lora, generate: the study's; a generator's own are named only where they differ.
    """
    for name, one in generators.items():
        at = f"synthetic.{name}."
        if one.lora is not None:
            check_lora_sizes(
                found, "lora" if one.lora == lora else f"{at}lora", images_at, one.lora, images.sizes(*HELD), made
            )
        check_drawn_size(found, "generate" if one.generate == generate else f"{at}generate", one.generate, made)


def _assessment(found: Findings, sources: Sources, cfg: AssessmentStudyConfig, work: Path) -> None:
    images = sources.expect(IMAGES_AT, cfg.images)
    made = check_models(found, sources, "backbone", cfg.backbone, work, clip=False)
    check_models(found, sources, "clip", cfg.clip, work)
    sources.read("classifier_file", cfg.classifier_file, "Or set classifier.weights=none.")
    _generators(found, cfg.synthetic, cfg.lora, cfg.generate, IMAGES_AT, images, made)
    labels = sources.labels(IMAGES_AT, cfg.images)
    if labels is not None:
        check_drawn_names(found, cfg.generate, cfg.synthetic, labels)
    check_asked_for(found, cfg.synthetic, labels, IMAGES_AT, images, {IMAGES_AT: images})
