"""Checks that the prompts and rules of a study's CLIPs fit the classes of its images."""

from collections.abc import Iterator

from fulora.clip.prompts import PromptSet, prompts_of
from fulora.data.label_set import LabelSet, LabelSetError
from pipelines.backbones import OnSiteBackbone
from pipelines.checks.findings import Findings
from pipelines.fu_lora_config import FuLoraConfig


def check_prompts(
    findings: Findings, cfg: FuLoraConfig, labels: LabelSet, pretraining_labels: LabelSet | None = None
) -> None:
    """Report prompts for other classes, rules for a missing negative class, and unknown classes.

    Args:
        labels: of the study's `planes`.
        pretraining_labels: of the images that a CLIP is pre-trained on on site; None if there are none, or unknown.
    """
    with findings.collect("zero_shot", LabelSetError):
        cfg.zero_shot.asked(labels)
    for where, prompts in _prompts(cfg):
        with findings.collect(where, LabelSetError):
            prompts_of(labels, prompts)
    if isinstance(cfg.backbone, OnSiteBackbone) and pretraining_labels is not None:
        with findings.collect("backbone.clip.classes", LabelSetError):
            pretraining_labels.places(cfg.backbone.clip.classes)


def _prompts(cfg: FuLoraConfig) -> Iterator[tuple[str, PromptSet | None]]:
    """The prompts of tuned CLIPs and heads, by their place in the config."""
    for name, arm in cfg.clip_arms.items():
        if arm.tune is not None:
            yield f"clip_arms.{name}.tune.prompts", arm.tune.prompts
        if arm.probe is not None:
            yield f"clip_arms.{name}.probe.prompts", arm.probe.prompts
    if cfg.few_shot is not None:
        yield "few_shot.probe.prompts", cfg.few_shot.probe.prompts
