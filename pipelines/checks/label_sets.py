"""Whether the images of a study, and the words that its CLIP is asked with, are of the same classes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fulora.clip.prompts import PromptSet, prompts_of
from fulora.data.label_set import LabelSet, LabelSetError, refuse_other_classes
from pipelines.backbones import OnSite
from pipelines.checks.findings import Findings
from pipelines.checks.images import Sources
from pipelines.fu_lora_config import LORA_AT, PLANES_AT, FuLoraConfig

BACKBONE_AT = "backbone.images"


def check_labels(found: Findings, sources: Sources, cfg: FuLoraConfig) -> None:
    """Tell of images, prompts and rules that do not fit the classes of the study's `planes`."""
    sets = {PLANES_AT: cfg.planes, **{f"other_images.{name}": images for name, images in cfg.other_images.items()}}
    if cfg.lora_images is not None:
        sets[LORA_AT] = cfg.lora_images
    if cfg.few_shot is not None:
        sets["few_shot.images"] = cfg.few_shot.images
    if isinstance(cfg.backbone, OnSite):
        sets[BACKBONE_AT] = cfg.backbone.images
    known = {where: sources.labels(where, images) for where, images in sets.items()}
    compare_labels(found, cfg, {where: labels for where, labels in known.items() if labels is not None})


def compare_labels(found: Findings, cfg: FuLoraConfig, labels: Mapping[str, LabelSet]) -> None:
    """As `check_labels`, with the label sets that are known, by the place of their images in the config."""
    if PLANES_AT not in labels:
        return
    ours = labels[PLANES_AT]
    if len(ours.names) < 2:
        found.problem(
            PLANES_AT, f"its label set {ours.name} has one class, {ours.names[0]}; a study tells two or more apart"
        )
    for where, theirs in labels.items():
        if where != BACKBONE_AT:
            with _told(found, where):
                refuse_other_classes(ours, theirs, who=PLANES_AT, whom=where)
    with _told(found, "zero_shot"):
        cfg.zero_shot.asked(ours)
    for where, prompts in _prompts(cfg):
        with _told(found, where):
            prompts_of(ours, prompts)
    if isinstance(cfg.backbone, OnSite) and BACKBONE_AT in labels:
        with _told(found, "backbone.clip.classes"):
            labels[BACKBONE_AT].places(cfg.backbone.clip.classes)


def _prompts(cfg: FuLoraConfig) -> Iterator[tuple[str, PromptSet | None]]:
    """The prompts that tuned CLIPs and heads learn with, by their place in the config."""
    for name, arm in cfg.clip_arms.items():
        if arm.tune is not None:
            yield f"clip_arms.{name}.tune.prompts", arm.tune.prompts
        if arm.probe is not None:
            yield f"clip_arms.{name}.probe.prompts", arm.probe.prompts
    if cfg.few_shot is not None:
        yield "few_shot.probe.prompts", cfg.few_shot.probe.prompts


@contextmanager
def _told(found: Findings, where: str) -> Iterator[None]:
    try:
        yield
    except LabelSetError as error:
        found.problem(where, str(error))
