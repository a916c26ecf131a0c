"""All early checks of each kind of study, before anything is planned or curated."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from fulora.config import Config
from fulora.data.class_counts import ClassCounts
from fulora.data.labels import PLANES, Split
from fulora.diffusion.config import GenerateConfig, LoraConfig
from fulora.intake.config import CurateConfig
from pipelines.assessment import AssessmentStudyConfig
from pipelines.backbones import BackboneConfig, OnSite
from pipelines.checks.backbones import Made, check_backbone
from pipelines.checks.findings import Findings
from pipelines.checks.images import ExpectedSet, Sources
from pipelines.checks.mixing import check_mixing
from pipelines.checks.prompts import check_prompts
from pipelines.checks.sizes import check_drawn_size, check_lora_sizes, check_pretraining_sizes
from pipelines.curation import CurationConfig
from pipelines.fu_lora_config import FuLoraConfig
from pipelines.lora_training import LoraTrainingConfig
from pipelines.pretraining import PretrainingConfig
from pipelines.segmentation import SegmentationConfig, SegmentationStudyConfig
from pipelines.sources import labels_of


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
    sources.read("classifier_file", cfg.classifier_file, "Or set classifier.weights=none.")
    made = _backbone(found, sources, "backbone", cfg.backbone, work)
    _lora(found, "lora", lora_at, cfg.lora, shown, made)
    check_drawn_size(found, "generate", cfg.generate, made)
    if cfg.prior is not None:
        check_drawn_size(found, "prior", cfg.prior, made)
    _classes(found, sources, cfg)
    if planes.complete:
        learned = (
            labels_of(cfg.backbone.images, sources.root)
            if made is not None and isinstance(cfg.backbone, OnSite)
            else None
        )
        check_prompts(found, cfg, labels_of(cfg.planes, sources.root), learned)
    _asked_for(found, cfg.generate, lora_at, shown)
    training = {name: images.counts("train") if images.complete else None for name, images in others.items()}
    check_mixing(found, cfg, {"": planes.counts("train") if planes.complete else None, **training})
    if cfg.segmentation is not None:
        _segmentation(found, sources, cfg.segmentation, "segmentation.", work)


def _classes(found: Findings, sources: Sources, cfg: FuLoraConfig) -> None:
    """Whether training and test show the same classes, all of them known."""
    used = {f"other_images.{name}": cfg.other_images[name] for name in cfg.names_of_images() if name}
    compared = [_compared(found, sources, cfg.accept_missing_classes, {"planes": cfg.planes, **used}, "planes")]
    if cfg.few_shot is not None:
        few = {"few_shot.images": cfg.few_shot.images}
        compared.append(_compared(found, sources, cfg.accept_missing_classes, few, "few_shot.images"))
    missing = [counts.missing() for counts in compared if counts is not None]
    for name in cfg.accept_missing_classes:
        said = [sentence for sentences in missing for sentence in sentences.get(name, ())]
        for sentence in said or ["it is missing nowhere"] * bool(missing):
            found.note("accept_missing_classes", f"{name}: {sentence}")
    planes = sources.expect("planes", cfg.planes)
    tested, validated = planes.counts("test"), planes.counts("validation")
    unseen = [name for name in PLANES if tested[name] and not validated[name]]
    if planes.complete and unseen:
        found.note("planes", f"no validation image of {', '.join(unseen)}: classifiers are chosen without it")


def _compared(
    found: Findings, sources: Sources, accepted: Sequence[str], sets: Mapping[str, CurateConfig], tested: str
) -> ClassCounts | None:
    """The classes of training sets against those of the test split of one of them; None where a set is not known.

    Before a study is stopped because of a split that was drawn, pictures are compared, as curating does.

    Args:
        sets: by their place in the config.
        tested: the place of the set that is tested on.
    """

    def counted(compare_pictures: bool) -> ClassCounts | None:
        expected = {
            where: sources.expect(where, images, compare_pictures=compare_pictures) for where, images in sets.items()
        }
        if not all(images.complete for images in expected.values()):
            return None
        for where, images in expected.items():
            if strange := sorted({image.plane for image in images.images} - set(PLANES)):
                known = ", ".join(PLANES)
                found.problem(
                    where, f"it shows {', '.join(strange)}; classified are {known} only: take these images out"
                )
        training = {where: images.counts("train") for where, images in expected.items()}
        return ClassCounts(labels_of(sets[tested], sources.root), training, expected[tested].counts("test"))

    counts = counted(compare_pictures=False)
    if counts is not None and _may_be_drawn_otherwise(counts.missing(accepted), counts, sets, sources):
        counts = counted(compare_pictures=True)
    if counts is not None and counts.missing(accepted):
        found.problem(tested, counts.explained(accepted))
    return counts


def _may_be_drawn_otherwise(
    missing: Collection[str], counts: ClassCounts, sets: Mapping[str, CurateConfig], sources: Sources
) -> bool:
    """Whether an image of a class that is missing in a split may get into that split when pictures are compared."""
    lacking: dict[str, Split] = {name: "train" if counts.test.get(name) else "test" for name in missing}
    images = (image for where, config in sets.items() for image in sources.expect(where, config).images)
    return bool(lacking) and any(lacking.get(image.plane) in image.others for image in images)


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
