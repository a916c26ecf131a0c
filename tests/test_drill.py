"""The drill: how many files of `fulora` and `pipelines` know of one source, metric, generator, arm or label set."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image as Pil

from fulora.engine import InProcess
from fulora.intake.config import KINDS
from fulora.intake.sources.huggingface import HuggingfaceConfig
from fulora.metrics.classification_metrics import METRICS
from fulora.workspace import Step, Workspace
from pipelines import configs
from pipelines.fu_lora import run
from pipelines.fu_lora_config import FuLoraConfig

ROOT = Path(__file__).parents[1]
NEWEST = HuggingfaceConfig
"""The source that was added last."""


def naming(words: str) -> set[str]:
    """The files of both packages that have a word."""
    files = [path for package in ("fulora", "pipelines") for path in (ROOT / package).rglob("*") if path.is_file()]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.suffix in {".py", ".yaml", ".jinja"}}
    return {path.relative_to(ROOT).as_posix() for path, text in texts.items() if re.search(words, text)}


def module_of(source: type) -> str:
    return f"{source.__module__.replace('.', '/')}.py"


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_is_its_module_and_a_line(kind: str) -> None:
    source = KINDS[kind]
    assert naming(rf"\b{source.__name__}\b") == {module_of(source), "fulora/intake/config.py"}


def test_no_other_file_asks_for_the_kind_of_the_newest_source() -> None:
    """`huggingface_hub` is another thing."""
    kind = NEWEST.model_fields["kind"].default
    assert naming(rf"\b{kind}\b") == {module_of(NEWEST), "fulora/intake/config.py"}


def test_a_metric_is_its_formula_and_a_line() -> None:
    assert "Cohen's kappa" in [metric.name for metric in METRICS]
    assert naming("(?i)kappa") == {"fulora/metrics/weighted_scores.py", "fulora/metrics/classification_metrics.py"}


# --- an arm, a generator and a label set are YAML: no file knows of these

CLASSES = ["Hüfte (links)", "knee - bent", "elbow"]
GENERATOR, ARM = "guidance 3 / rank 5", "hybrid: 3 to 1, balanced"
STUDY = {
    "base": str(ROOT / "configs" / "smoke.yaml"),
    "segmentation": None,
    "few_shot": None,
    "planes": {
        "label_set": {"name": "joints", "classes": [{"name": CLASSES[0], "caption": "a left hip"}, *CLASSES[1:]]},
        "sources": [
            {"kind": "class_folders", "folder": split, "role": split, "patients_unknown": True}
            for split in ("train", "validation", "test")
        ],
    },
    "synthetic": {
        "base": {"lora": "none"},
        "LoRA": {},
        GENERATOR: {"lora": {"rank": 5}, "generate": {"guidance_scale": 3.0}, "start": "planes"},
    },
    "arms": {ARM: {"mix": {"ratio": 3.0, "too_few": "repeat"}, "synthetic": GENERATOR, "balanced": True}},
}


@pytest.fixture
def planned(tmp_path: Path) -> list[Step]:
    """The steps of a study of made-up classes with a made-up generator and arm, as `fulora status` sees them."""
    for number, split in enumerate(("train", "validation", "test")):
        for place, name in enumerate(CLASSES):
            (tmp_path / split / name).mkdir(parents=True)
            shades = np.random.default_rng((number, place)).integers(0, 255, (64, 64)).astype(np.uint8)
            Pil.fromarray(shades).save(tmp_path / split / name / f"{split}.png")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY, allow_unicode=True, sort_keys=False), encoding="utf-8")
    config = configs.load(str(tmp_path / "study.yaml"), [f"data_root={tmp_path}"])[1]
    assert isinstance(config, FuLoraConfig)
    work = Workspace(tmp_path / "work", InProcess(), plan=True)
    run(config, work)
    work.checked()
    return work.steps


def test_a_generator_is_no_file(planned: list[Step]) -> None:
    drawn = {step.key: step.call.arguments for step in planned if step.call.stage.name == "generate"}
    assert list(drawn) == ["base", "LoRA", GENERATOR]
    assert [step.key for step in planned if step.call.stage.name == "train_lora"] == ["LoRA", GENERATOR]


def test_an_arm_is_no_file(planned: list[Step]) -> None:
    arms = [step.key for step in planned if step.call.stage.name == "mix"]
    assert ARM in arms
    assert {step.key[0] for step in planned if step.call.stage.name == "train_classifier"} == {"real", "hybrid", ARM}


def test_a_label_set_is_no_file(planned: list[Step]) -> None:
    drawn = [step.call.arguments["labels"] for step in planned if step.call.stage.name == "generate"]
    assert [labels.names for labels in drawn] == [tuple(CLASSES)] * 3
