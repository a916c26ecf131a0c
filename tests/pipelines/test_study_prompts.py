"""Prompts and rules of a study that do not fit the classes of its images: told before anything runs."""

from pathlib import Path

import pytest

from fulora.config import ConfigError
from fulora.data.label_set import LabelSet, label_set
from pipelines import configs
from pipelines.checks.findings import Findings
from pipelines.checks.prompts import check_prompts
from pipelines.checks.studies import check_study
from pipelines.fu_lora_config import FuLoraConfig

FIVE, SIX, TWO = label_set("fetal_planes"), label_set("fetal_planes_db"), LabelSet.derived(["normal", "cyst"])


def found(labels: LabelSet, *overrides: str, learned: LabelSet | None = None) -> dict[str, list[str]]:
    """The problems of the smoke study on images of a label set: each message with its places."""
    _, cfg = configs.load("smoke", overrides)
    assert isinstance(cfg, FuLoraConfig)
    findings = Findings()
    check_prompts(findings, cfg, labels, learned)
    return findings.problems


def test_what_fits_is_no_problem() -> None:
    for labels in (FIVE, SIX, TWO):
        assert found(labels, learned=FIVE.joined(SIX)) == {}
    assert found(SIX, "zero_shot.distractors=true", "zero_shot.other=threshold") == {}


@pytest.mark.parametrize(
    ("override", "where", "message"),
    [
        ("zero_shot.other=energy", "zero_shot", "other=energy is a rule for the negative class"),
        ("zero_shot.distractors=true", "zero_shot", "distractors=true, and prompts derived have none"),
        (
            "zero_shot.prompts={name: mine, classes: {a: [b]}}",
            "zero_shot",
            "prompts mine: a\n  label set derived: cyst",
        ),
        (
            "clip_arms={head: {probe: {prompts: {name: mine, classes: {a: [b]}}}}}",
            "clip_arms.head.probe.prompts",
            "prompts mine and label set derived have different classes",
        ),
        (
            "clip_arms={tuned: {tune: {prompts: {name: mine, classes: {a: [b]}}}}}",
            "clip_arms.tuned.tune.prompts",
            "prompts mine and label set derived have different classes",
        ),
        (
            "few_shot.probe.prompts={name: mine, classes: {a: [b]}}",
            "few_shot.probe.prompts",
            "prompts mine and label set derived have different classes",
        ),
    ],
)
def test_prompts_and_rules_fit_the_classes(override: str, where: str, message: str) -> None:
    ((said, places),) = found(TWO, override).items()
    assert message in said
    assert places == [where]


def test_a_clip_learns_classes_that_its_images_have() -> None:
    images = "{sources: [{kind: phantoms, role: train, sites: [base1], per_plane: 2}]}"
    override = f"backbone={{kind: pretrain, images: {images}, clip: {{classes: [kidney]}}}}"
    ((said, places),) = found(FIVE, override, learned=FIVE).items()
    assert "'kidney' is no class of the label set fetal_planes" in said
    assert places == ["backbone.clip.classes"]


def test_it_stops_a_study_before_anything_runs(tmp_path: Path) -> None:
    _, cfg = configs.load("smoke", ["zero_shot.prompts={name: mine, classes: {a: [b]}}"])
    with pytest.raises(ConfigError, match=r"zero_shot: prompts mine and label set .* have different classes"):
        check_study(cfg, tmp_path).stop("smoke")
