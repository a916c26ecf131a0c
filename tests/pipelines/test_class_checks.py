"""Names of classes in a study's config, and label sets that meet in it, against those of its images."""

from pathlib import Path

import pytest

from fulora.data.class_counts import MissingClassError
from fulora.data.label_set import LabelSet, LabelSetError
from fulora.intake.config import CurateConfig
from pipelines import configs
from pipelines.checks.studies import check_study
from pipelines.stages.count_classes import count_classes

TWO = LabelSet.derived(["brain", "thorax"], name="two")
ONE = LabelSet.derived(["brain"], name="one")


def problems(monkeypatch: pytest.MonkeyPatch, labels: LabelSet, *overrides: str, few: LabelSet | None = None) -> str:
    """What is wrong with a study on images of two classes."""

    def resolve_label_set(config: CurateConfig, data_root: Path) -> LabelSet:
        return few if few is not None and config == values.few_shot.images else labels  # type: ignore[attr-defined]

    monkeypatch.setattr("pipelines.checks.images.resolve_label_set", resolve_label_set)
    drawn = "generate={planes: [brain, thorax], prompts: {brain: a brain, thorax: a thorax}}"
    sources = [
        f"{{kind: phantoms, role: {role}, sites: [A], per_plane: 4, planes: [brain, thorax], first_patient: {first}}}"
        for role, first in (("train", 0), ("validation", 100), ("test", 200))
    ]
    given = [drawn, f"planes.sources=[{', '.join(sources)}]", *overrides]
    values = configs.load("smoke", given if few is not None else [*given, "few_shot=null"])[1]
    return "\n".join(f"{places}: {said}" for said, places in check_study(values, Path("nowhere")).problems.items())


def test_a_valid_study_of_two_classes_has_no_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch, TWO) == ""


@pytest.mark.parametrize(
    ("override", "place", "name"),
    [
        ("accept_missing_classes=[heart]", "accept_missing_classes", "heart"),
        ("score.prior={heart: 1}", "score.prior", "heart"),
        ("mix.ratio={brain: 1, femur: 2}", "mix.ratio", "femur"),
        ("arms={a: {mix: {ratio: {femur: 2}, filters: []}}}", "arms.a.mix.ratio", "femur"),
        ("generate.planes=[brain, thorax, other]", "generate.planes", "other"),
        ("synthetic={LoRA: {generate: {prompts: {heart: a heart}}}}", "synthetic.LoRA.generate.prompts", "heart"),
        ("prior={per_class: 2, planes: [brain, femur]}", "prior.planes", "femur"),
    ],
)
def test_a_name_that_is_no_class_is_refused(
    monkeypatch: pytest.MonkeyPatch, override: str, place: str, name: str
) -> None:
    more = [override] if "generate" in override else [override, "closeness.baseline=null"]
    if "other" in override:
        more.append("generate.prompts={brain: a, thorax: b, other: c}")
    found = problems(monkeypatch, TWO, *more)
    assert f"'{place}'" in found
    assert f"'{name}' is no class of the label set two: brain, thorax" in found


def test_a_study_of_one_class_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "its label set one has one class, brain; a study needs two or more" in problems(monkeypatch, ONE)


def test_images_of_other_classes_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(monkeypatch, TWO, few=LabelSet.derived(["brain", "heart"], name="mine"))
    assert "planes: brain, thorax, label set two" in found
    assert "few_shot.images: brain, heart, label set mine" in found


def test_an_invalid_label_set_is_reported_with_its_place_in_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(config: CurateConfig, data_root: Path) -> LabelSet:
        raise LabelSetError("two label sets and no name")

    monkeypatch.setattr("pipelines.checks.images.resolve_label_set", fails)
    found = check_study(configs.load("smoke")[1], Path("nowhere")).problems
    assert "planes" in found["two label sets and no name"]


def test_classes_are_counted_again_after_curating(tmp_path: Path) -> None:
    class Split:
        def __init__(self, train: str, test: str) -> None:
            self.shown = {"train": train.split(), "test": test.split()}
            self.path = Path("images")

        def label_set(self) -> LabelSet:
            return LabelSet.derived(["a", "b"])

        def rows(self, split: str) -> list[object]:
            return [type("Row", (), {"plane": plane})() for plane in self.shown[split]]

    both, few = Split("a b", "a b"), Split("a", "b")
    (tmp_path / "whole").mkdir()
    count_classes.function(tmp_path / "whole", [], {"planes": both}, both, None)  # type: ignore[dict-item, arg-type]
    assert (tmp_path / "whole" / "classes.json").is_file()
    with pytest.raises(MissingClassError, match=r"few_shot\.images"):
        count_classes.function(tmp_path, [], {"planes": both}, both, few)  # type: ignore[dict-item, arg-type]
    with pytest.raises(MissingClassError, match=r"accept_missing_classes=\[a, b\]"):
        count_classes.function(tmp_path, ["a"], {"planes": few}, few, None)  # type: ignore[dict-item, arg-type]
