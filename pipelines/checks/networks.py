"""Checks of a segmentation study: enough images for its sizes and epochs, and masks for its classes."""

from collections.abc import Iterable
from pathlib import Path

from fulora.data.label_set import LabelSet
from fulora.diffusion.models.native_size import NativeSize
from fulora.segmentation.config import UnetConfig
from pipelines.checks.backbones import check_models
from pipelines.checks.classes import check_names
from pipelines.checks.findings import Findings
from pipelines.checks.images import ExpectedSet, Sources
from pipelines.checks.sizes import check_generated_size, check_lora_sizes
from pipelines.segmentation import SegmentationConfig, Size
from pipelines.synthetic_heads import SyntheticArmConfig, SyntheticHeadsConfig, classes_with_masks


def check_segmentation(findings: Findings, sources: Sources, cfg: SegmentationConfig, key: str, work: Path) -> None:
    """Check a segmentation study, or the segmentation of another study; `key` is "" or `segmentation.`."""
    heads = sources.expect(f"{key}heads", cfg.heads)
    sources.require(f"{key}encoder_file", cfg.encoder_file, "Or leave out encoder_file.")
    least = min(heads.counts("train").values(), default=0)
    excessive = [str(size) for size in cfg.sizes if size != "all" and size > least]
    if heads.complete and excessive:
        wanted = ", ".join(excessive)
        findings.problem(f"{key}sizes", f"{wanted} training images of each plane are wanted, and there are {least}")
    elif heads.complete and least:
        _check_epochs(findings, cfg, key, heads)
    if cfg.synthetic is None:
        return
    at = f"{key}synthetic"
    native = check_models(findings, sources, f"{at}.backbone", cfg.synthetic.backbone, work, clip=False)
    labels = sources.labels(f"{key}heads", cfg.heads)
    for name, arm in cfg.synthetic.arms.items():
        _check_arm(findings, f"{at}.arms.{name}", f"{key}heads", arm, cfg.synthetic, heads, labels, native)


def _check_epochs(findings: Findings, cfg: SegmentationConfig, key: str, heads: ExpectedSet) -> None:
    """Check that each network's epochs are more steps than its warm-up, at each size; folds leave fewer images."""
    for size in cfg.sizes:
        labelled = _training_images(heads, size, cfg.folds)
        for name, unet in cfg.networks().items():
            _check_steps(findings, f"{key}arms.{name}" if cfg.arms else f"{key}unet", unet, labelled)
        if cfg.synthetic is None:
            continue
        _check_steps(findings, f"{key}unet", cfg.unet, _training_images(heads, size, cfg.synthetic.folds))
        student = cfg.synthetic.student(cfg.unet)
        for name, arm in cfg.synthetic.arms_at(size).items():
            _check_steps(findings, f"{key}synthetic.arms.{name}", student, labelled + arm.additions.images)


def _training_images(heads: ExpectedSet, size: Size, folds: int | None) -> int:
    counts = heads.counts("train")
    every = counts.total() if size == "all" else size * len(counts)
    return every - (every // folds if folds else 0)


def _check_steps(findings: Findings, where: str, unet: UnetConfig, images: int) -> None:
    with findings.collect(where, ValueError):
        unet.of(max(images, 1))


def _check_arm(
    findings: Findings,
    where: str,
    heads_at: str,
    arm: SyntheticArmConfig,
    common: SyntheticHeadsConfig,
    heads: ExpectedSet,
    labels: LabelSet | None,
    native: NativeSize | None,
) -> None:
    """Check sizes and classes of the images that are generated for one arm."""
    if arm.lora is not None:
        at = "lora" if arm.lora == common.lora else f"{where}.lora"
        check_lora_sizes(findings, at, heads_at, arm.lora, heads.sizes("train", "validation"), native)
    if arm.generate is None:
        return
    check_generated_size(findings, f"{where}.generate", arm.generate, native)
    if labels is None:
        return
    requested: Iterable[str] = arm.generate.planes or ()
    check_names(findings, f"{where}.generate.planes", requested, labels)
    unmasked = [name for name in requested if name in labels.names and name not in classes_with_masks(labels)]
    if unmasked:
        masked = ", ".join(classes_with_masks(labels)) or "none"
        findings.problem(
            f"{where}.generate.planes",
            f"{', '.join(unmasked)}: its images have no masks; classes with masks: {masked} (label set {labels.name})",
        )
