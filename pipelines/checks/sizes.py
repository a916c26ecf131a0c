"""Checks of image sizes: that they can be trained on and generated, and that the backbone was made for them."""

from collections import Counter

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.models.native_size import NativeSize, describe_other_size
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.intake.config import CurateConfig
from fulora.intake.curate.forecast import Size
from pipelines.checks.findings import Findings

SHOWN = 3
"""Number of sizes that a message names; the rest are counted."""


def check_lora_sizes(
    findings: Findings, where: str, images_at: str, cfg: LoraConfig, sizes: Counter[Size], native: NativeSize | None
) -> None:
    """Check the images that a LoRA is trained on.

    Args:
        where: the path of the LoRA's config; "" if its fields have no prefix.
        images_at: the path of the images' config.
        sizes: of the curated training and validation images.
        native: the sizes that the backbone was made for, if known.
    """
    key = f"{where}." if where else ""
    if cfg.sizes == "fixed" and len(sizes) > 1:
        way = "curate them to one size" if cfg.mask_channel else f"set {key}sizes=buckets, or curate them to one size"
        findings.problem(
            f"{key}sizes",
            f"{images_at} has images of {len(sizes)} sizes, {_named(sizes)}, and sizes=fixed trains on one: {way} "
            f"with {images_at}.fit=letterbox or crop",
        )
        return
    trained = sizes if cfg.sizes == "fixed" else _buckets(findings, f"{key}bucket_step_px", cfg, sizes)
    if native is None:
        return
    wrong = {size: count for size, count in trained.items() if any(side % native.halved_px for side in size)}
    if wrong:
        way = (
            f"set {key}bucket_step_px={native.halved_px}"
            if cfg.sizes == "buckets"
            else f"set {images_at}.image_size_px to a multiple, or {key}sizes=buckets"
        )
        findings.problem(
            f"{key}sizes",
            f"images of {_named(Counter(wrong))} pixels cannot be trained on: this backbone needs sides that are "
            f"multiples of {native.halved_px}: {way}",
        )
    _note_unusual(findings, key, cfg, trained, native.side_px)


def _buckets(findings: Findings, where: str, cfg: LoraConfig, sizes: Counter[Size]) -> Counter[Size]:
    from fulora.diffusion.training.buckets import bucket_of

    trained = Counter[Size]()
    for (width, height), count in sizes.items():
        with findings.collect(where, ValueError):
            bucket = bucket_of(
                width, height, resolution_px=cfg.resolution_px, step_px=cfg.bucket_step_px, upscale=cfg.bucket_upscale
            )
            trained[bucket.size] += count
    return trained


def _note_unusual(findings: Findings, key: str, cfg: LoraConfig, trained: Counter[Size], side: int | None) -> None:
    if side is None:
        return
    made = f"the backbone was made for {side}x{side} px"
    if cfg.sizes == "buckets" and cfg.resolution_px != side:
        findings.note(
            f"{key}resolution_px",
            f"buckets of about {cfg.resolution_px}x{cfg.resolution_px} px, and {made}: its pictures may fall apart at "
            f"other sizes; {key}resolution_px={side} is what it knows",
        )
        return
    other = Counter(
        {
            size: count
            for size, count in trained.items()
            if (size != (side, side) if cfg.sizes == "fixed" else size[0] * size[1] * 4 < side * side)
        }
    )
    if other:
        what = "" if cfg.sizes == "fixed" else ", less than a quarter of that area"
        findings.note(
            f"{key}sizes",
            f"{other.total()} images are trained on at {_named(other)} px{what}, and {made}: its pictures may fall "
            "apart at other sizes",
        )


def check_generated_size(findings: Findings, where: str, cfg: GenerateConfig, native: NativeSize | None) -> None:
    """Check the size of generated images; `where` is the path of the config."""
    key = f"{where}.image_size_px"
    if native is None:
        return
    width, height = cfg.size
    if width % native.latent_px or height % native.latent_px:
        findings.problem(key, f"{width}x{height} px: sides must be multiples of {native.latent_px} px")
    elif warning := describe_other_size(cfg.size, native):
        findings.note(key, warning)


def check_pretraining_sizes(
    findings: Findings, images_at: str, config: CurateConfig, sizes: Counter[Size], native: NativeSize
) -> None:
    """Check that images to pre-train a small backbone on are squares of one size that its networks can halve."""
    wrong = [size for size in sizes if size[0] != size[1] or size[0] % native.halved_px]
    if len(sizes) > 1 or wrong:
        findings.problem(
            f"{images_at}.fit",
            f"images of {_named(sizes)} px (fit={config.fit}): pre-training needs squares of one size, a multiple of "
            f"{native.halved_px} px: set fit=letterbox or crop, and image_size_px",
        )


def _named(sizes: Counter[Size]) -> str:
    shown = ", ".join(f"{width}x{height} ({count})" for (width, height), count in sizes.most_common(SHOWN))
    return shown + (f" and {len(sizes) - SHOWN} more" if len(sizes) > SHOWN else "")
