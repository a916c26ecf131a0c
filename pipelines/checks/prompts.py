"""Whether the words and rules that a study's CLIP is asked with, and learns with, fit the classes of its images."""

from collections.abc import Iterator
from contextlib import contextmanager

from fulora.clip.prompts import PromptSet, prompts_of
from fulora.data.label_set import LabelSet, LabelSetError
from pipelines.backbones import OnSite
from pipelines.checks.findings import Findings
from pipelines.fu_lora_config import FuLoraConfig


def check_prompts(found: Findings, cfg: FuLoraConfig, labels: LabelSet, learned: LabelSet | None = None) -> None:
    """Tell of prompts for other classes, of rules for a negative class that is not there, and of unknown classes.

    Args:
        labels: of the study's `planes`.
        learned: of the images that a CLIP is trained on on site; None where none is, or where they are not known.
    """
    with _told(found, "zero_shot"):
        cfg.zero_shot.asked(labels)
    for where, prompts in _prompts(cfg):
        with _told(found, where):
            prompts_of(labels, prompts)
    if isinstance(cfg.backbone, OnSite) and learned is not None:
        with _told(found, "backbone.clip.classes"):
            learned.places(cfg.backbone.clip.classes)


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
