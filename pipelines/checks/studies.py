"""All early checks of each kind of study, before anything is planned or curated."""

from collections.abc import Mapping
from pathlib import Path

from fulora.config import Config
from fulora.data.class_counts import ClassCounts
from fulora.data.labels import PLANES
from fulora.diffusion.config import GenerateConfig, LoraConfig
from pipelines.assessment import AssessmentStudyConfig
from pipelines.backbones import BackboneConfig, OnSite
from pipelines.checks.backbones import Made, check_backbone
from pipelines.checks.findings import Findings
from pipelines.checks.images import ExpectedSet, Sources
from pipelines.checks.mixing import check_mixing
from pipelines.checks.sizes import check_drawn_size, check_lora_sizes, check_pretraining_sizes
from pipelines.curation import CurationConfig
from pipelines.fu_lora_config import FuLoraConfig
from pipelines.lora_training import LoraTrainingConfig
from pipelines.pretraining import PretrainingConfig
from pipelines.segmentation import SegmentationConfig, SegmentationStudyConfig


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
            _segmentation(found, sources, values, "", work)
        case AssessmentStudyConfig():
            _assessment(found, sources, values, work)
        case LoraTrainingConfig():
            images = sources.expect("images", values.images)
            made = _backbone(found, sources, "backbone", values.backbone, work, clip=False)
            _lora(found, "lora", "images", values.lora, images, made)
        case CurationConfig():
            for name, config in values.sets.items():
                sources.expect(f"sets.{name}", config)
        case PretrainingConfig():
            _backbone(found, sources, "models", values.models, work)
    return found


def _fu_lora(found: Findings, sources: Sources, cfg: FuLoraConfig, work: Path) -> None:
    planes = sources.expect("planes", cfg.planes)
    others = {name: sources.expect(f"other_images.{name}", images) for name, images in cfg.other_images.items()}
    lora_at, shown = "planes", planes
    if cfg.lora_images is not None:
        lora_at, shown = "lora_images", sources.expect("lora_images", cfg.lora_images)
    if cfg.few_shot is not None:
        sources.expect("few_shot.images", cfg.few_shot.images)
    sources.read("classifier_file", cfg.classifier_file, "Or set classifier.weights=none.")
    made = _backbone(found, sources, "backbone", cfg.backbone, work)
    _lora(found, "lora", lora_at, cfg.lora, shown, made)
    check_drawn_size(found, "generate", cfg.generate, made)
    if cfg.prior is not None:
        check_drawn_size(found, "prior", cfg.prior, made)
    _classes(found, sources, cfg, planes, others)
    _asked_for(found, cfg.generate, lora_at, shown)
    training = {name: images.counts("train") if images.complete else None for name, images in others.items()}
    check_mixing(found, cfg, {"": planes.counts("train") if planes.complete else None, **training})
    if cfg.segmentation is not None:
        _segmentation(found, sources, cfg.segmentation, "segmentation.", work)


def _classes(
    found: Findings, sources: Sources, cfg: FuLoraConfig, planes: ExpectedSet, others: Mapping[str, ExpectedSet]
) -> None:
    """Whether training and test show the same classes.

    Before a study is stopped because of a split that was drawn, the pictures are compared as curating does.
    """
    used = {name: others[name] for name in cfg.names_of_images() if name}
    for where, images in {
        "planes": planes,
        **{f"other_images.{name}": images for name, images in used.items()},
    }.items():
        strange = sorted({image.plane for image in images.images} - set(PLANES))
        if strange:
            found.problem(where, f"it shows {', '.join(strange)}, and this study classifies {', '.join(PLANES)} only: "
                          "take these images out")  # fmt: skip
    if not all(images.complete for images in (planes, *used.values())):
        return
    accepted = cfg.accept_missing_classes
    counts = _counts(planes, used)
    if counts.missing(accepted):
        planes = sources.expect("planes", cfg.planes, compare_pictures=True)
        used = {name: sources.expect(f"other_images.{name}", images.config, compare_pictures=True)
                for name, images in used.items()}  # fmt: skip
        counts = _counts(planes, used)
    if counts.missing(accepted):
        found.problem("planes", counts.explained(accepted))
    for name in accepted:
        for sentence in counts.missing().get(name, ["it is missing nowhere"]):
            found.note("accept_missing_classes", f"{name}: {sentence}")
    tested, validated = planes.counts("test"), planes.counts("validation")
    unseen = [name for name in counts.classes() if tested[name] and not validated[name]]
    if unseen:
        found.note("planes", f"no validation image of {', '.join(unseen)}: classifiers are chosen without it")


def _counts(planes: ExpectedSet, others: Mapping[str, ExpectedSet]) -> ClassCounts:
    training = {"planes": planes.counts("train")}
    training |= {f"other_images.{name}": images.counts("train") for name, images in others.items()}
    return ClassCounts(training, planes.counts("test"))


def _asked_for(found: Findings, cfg: GenerateConfig, lora_at: str, shown: ExpectedSet) -> None:
    """Classes that a LoRA is asked for and never saw."""
    counts = shown.counts("train")
    unknown = [plane for plane in cfg.planes if not counts[plane]]
    if shown.complete and unknown:
        found.note("generate.planes", f"the LoRA is asked for {', '.join(unknown)}, of which {lora_at} has no training "
                   "image")  # fmt: skip


def _segmentation(found: Findings, sources: Sources, cfg: SegmentationConfig, key: str, work: Path) -> None:
    """The checks of a study of segmentation, or of that part of another (`key` is then `segmentation.`)."""
    heads = sources.expect(f"{key}heads", cfg.heads)
    sources.read(f"{key}encoder_file", cfg.encoder_file, "Or leave out encoder_file.")
    least = min(heads.counts("train").values(), default=0)
    many = [str(size) for size in cfg.sizes if size != "all" and size > least]
    if heads.complete and many:
        found.problem(
            f"{key}sizes", f"{', '.join(many)} training images of each plane are wanted, and there are {least}"
        )
    if cfg.synthetic is None:
        return
    at = f"{key}synthetic"
    made = _backbone(found, sources, f"{at}.backbone", cfg.synthetic.backbone, work, clip=False)
    _lora(found, f"{at}.lora", f"{key}heads", cfg.synthetic.lora, heads, made)
    _lora(found, f"{at}.pairs_lora", f"{key}heads", cfg.synthetic.pairs_lora, heads, made)
    check_drawn_size(found, f"{at}.generate", cfg.synthetic.generate, made)


def _assessment(found: Findings, sources: Sources, cfg: AssessmentStudyConfig, work: Path) -> None:
    images = sources.expect("images", cfg.images)
    made = _backbone(found, sources, "backbone", cfg.backbone, work, clip=False)
    _backbone(found, sources, "clip", cfg.clip, work)
    sources.read("classifier_file", cfg.classifier_file, "Or set classifier.weights=none.")
    for name, lora in cfg.loras.items():
        _lora(found, f"loras.{name}", "images", lora, images, made)
    _asked_for(found, cfg.generate, "images", images)
    check_drawn_size(found, "generate", cfg.generate, made)


def _backbone(
    found: Findings, sources: Sources, where: str, config: BackboneConfig, work: Path, *, clip: bool = True
) -> Made | None:
    made = check_backbone(found, where, config, work, clip=clip)
    if isinstance(config, OnSite) and made is not None:
        images = sources.expect(f"{where}.images", config.images)
        check_pretraining_sizes(found, f"{where}.images", config.images, images.sizes("train"), made)
    return made


def _lora(found: Findings, where: str, images_at: str, cfg: LoraConfig, images: ExpectedSet, made: Made | None) -> None:
    check_lora_sizes(found, where, images_at, cfg, images.sizes("train", "validation"), made)
