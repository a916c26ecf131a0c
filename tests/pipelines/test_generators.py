"""Generators of a study by name: any number of them, each only YAML, from the config through to the report."""

import json
from pathlib import Path

import pytest

from fulora.config import ConfigError
from fulora.data.hybrid import MixConfig
from fulora.data.image import ImageSetError
from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.data.results import Scores
from fulora.engine import InProcess
from fulora.stage import Artifact
from fulora.workspace import Workspace
from pipelines import configs
from pipelines.assessment import AssessmentStudyConfig
from pipelines.fu_lora_config import FuLoraConfig
from pipelines.stages.mix import mix

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")
ODD = 'guidance 7, "UniPC" - drawn/over: planes'
GENERATORS = (
    "{base: {lora: none}, LoRA: {}, rank 3: {lora: {rank: 3}}, "
    f"'{ODD}': {{start: planes, generate: {{guidance_scale: 7.0, sampler: unipc, start_strength: 0.4}}}}}}"
)
SMALL = (
    "few_shot=null",
    "segmentation=null",
    "classifier_seeds=[0]",
    "generate.per_class=4",
    "generate.steps=3",
    "lora.steps=2",
    "lora.checkpoint_every=5",
    "report.images_per_row=2",
    "mix.filters=[blank, duplicate]",
)


def config(*overrides: str) -> FuLoraConfig:
    found = configs.load("smoke", overrides)[1]
    assert isinstance(found, FuLoraConfig)
    return found


def test_a_study_that_names_none_has_base_and_lora() -> None:
    found = config()
    assert list(found.synthetic) == ["base", "LoRA"]
    base, lora = found.synthetic.values()
    assert (base.lora, lora.lora) == (None, found.lora)
    assert base.generate == lora.generate == found.generate
    assert found.closeness.baseline == "base"


def test_a_generator_says_only_what_differs() -> None:
    found = config(f"synthetic={GENERATORS}")
    odd = found.synthetic[ODD]
    assert found.synthetic["rank 3"].lora == found.lora.changed(rank=3)
    assert found.synthetic["rank 3"].generate == found.generate
    assert odd.lora == found.lora
    assert odd.generate == found.generate.changed(guidance_scale=7.0, sampler="unipc", start_strength=0.4)
    assert config(f"synthetic={GENERATORS}", "generate.steps=9").synthetic[ODD].generate.steps == 9


def test_without_a_baseline_nothing_is_compared_unless_configured() -> None:
    others = "synthetic={one: {}, two: {lora: {rank: 3}}}"
    assert config(others, "default_generator=one").closeness.baseline is None
    assert config(others, "default_generator=one", "closeness.baseline=two").closeness.baseline == "two"


def test_errors_of_shared_generator_settings_are_reported_once() -> None:
    with pytest.raises(ConfigError, match="2 errors") as raised:
        config("lora.rnak=8", "generate.per_class=lots")
    assert "synthetic" not in str(raised.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("synthetic={LoRA: {lora: {rnak: 3}}}", "synthetic.LoRA.lora.rnak: unknown key; did you mean 'rank'"),
        ("synthetic={LoRA: {lora: {warmup_steps: 4}}}", "synthetic.LoRA.lora: .*warmup_steps=4 leaves nothing"),
        ("synthetic={LoRA: {lora: {mask_channel: true}}}", "mask_channel=true trains on pairs of image and mask"),
        ("synthetic={LoRA: {start: mine}}", "synthetic.LoRA.start: no images 'mine'; there are planes"),
        ("synthetic={LoRA: {start: lora_images}}", "no images 'lora_images'; there are planes"),
        ("closeness.baseline=mine", "closeness.baseline: no generator 'mine'; there are base, LoRA"),
        ("other_images={planes: {sources: [{kind: hc18}]}}", "'planes' is a place of the study"),
        ("synthetic=[LoRA]", "synthetic: Input should be a valid dictionary"),
    ],
)
def test_what_a_generator_cannot_be_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(override)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"synthetic": {}}, "synthetic: has no generator; name one, or leave synthetic out"),
        ({"synthetic": {"a": {"start": "planes"}}}, "synthetic.a.start: no images 'planes'; there are images"),
        ({"judge": {"folds": 3}, "classifier": {"seed": 2**64}}, "classifier.seed|seed is 18446744073709551616"),
        ({"judge": {"folds": 3, "classifier": {"seed": 2**64 - 2}}}, "judge: seed is 18446744073709551616"),
    ],
)
def test_an_assessment_study_has_generators_too(changes: dict[str, object], message: str) -> None:
    given = configs.load("memorisation")[1].model_dump() | changes
    with pytest.raises(ValueError, match=message):
        AssessmentStudyConfig.model_validate(given)


def test_what_adds_synthetic_images_needs_some(tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=r"mix\.arm=hybrid adds synthetic images, and none are given"):
        mix.function(tmp_path, MixConfig(filters=()), empty(tmp_path), None)


def empty(folder: Path) -> ImageSet:
    class Nothing(ImageSet):
        def rows(self, split: str = "") -> list[object]:  # type: ignore[override]
            return []

    FETAL.write(folder)
    return Nothing(folder, "")


def made(work: Path, stage: str) -> dict[str, Path]:
    """The artifacts of a stage, by what the study calls them."""
    found = {}
    for folder in work.glob(f"{stage}-*"):
        label = json.loads((folder / "stage.json").read_text())["label"]
        found[label.removeprefix(f"{stage} (").removesuffix(")")] = folder
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Artifact]:
    """A study of four generators; the arms add images of three of them."""
    work = tmp_path_factory.mktemp("generators")
    arms = f"arms={{over: {{mix: {{filters: []}}, synthetic: '{ODD}'}}, copies: {{mix: {{arm: duplicated}}}}}}"
    study, values = configs.load("smoke", [*SMALL, f"synthetic={GENERATORS}", arms, "default_generator=rank 3"])
    return work, study.run(values.changed(clip_arms={}), Workspace(work, InProcess()))


def test_each_generator_draws_and_equal_loras_are_trained_once(finished: tuple[Path, Artifact]) -> None:
    work, _ = finished
    assert set(made(work, "generate")) == {"base", "LoRA", "rank 3", ODD}
    assert set(made(work, "train_lora")) == {"LoRA", "rank 3"}
    assert set(made(work, "assess")) == {"base", "LoRA", "rank 3", ODD}
    books = {name: ImageSet(path, "").provenance() for name, path in made(work, "generate").items()}
    assert set(books["base"].patients()) < set(books["LoRA"].patients())
    drawn_over = {name: book.entries[0].patients for name, book in books.items()}
    assert drawn_over.pop(ODD)
    assert drawn_over == {"base": (), "LoRA": (), "rank 3": ()}


def test_arms_add_the_images_of_the_generator_they_name(finished: tuple[Path, Artifact]) -> None:
    work, _ = finished
    pixels = {
        name: {row.sha256 for row in ImageSet(path, "").rows("train")} for name, path in made(work, "generate").items()
    }
    mixes = made(work, "mix")
    assert set(mixes) == {"hybrid", "over", "copies"}
    for arm, generator in (("hybrid", "rank 3"), ("over", ODD)):
        added = {row.sha256 for row in ImageSet(mixes[arm], "").rows("train") if row.origin == "synthetic"}
        assert added
        assert added <= pixels[generator]
    record = json.loads((mixes["copies"] / "stage.json").read_text())
    assert not [name for name in record["inputs"] if name == "synthetic"]


def test_closeness_and_the_report_tell_of_each(finished: tuple[Path, Artifact]) -> None:
    work, report = finished
    (folder,) = work.glob("score_generation-*")
    rows = Scores(folder, "").rows()
    for name in ("base", "LoRA", "rank 3", ODD):
        assert sum(row.arm == name and not row.baseline for row in rows) == 2
    assert [(row.arm, row.baseline) for row in rows if row.baseline] == [
        ("base", name) for name in ("LoRA", "rank 3", ODD)
    ]
    assert len(rows) == 2 * 5 + 3
    text = (report.path / "report.md").read_text(encoding="utf-8")
    for name in ("base", "LoRA", "rank 3", ODD):
        assert f"All tests of the synthetic images ({name})" in text


def test_start_images_that_lack_a_class_are_reported_before_anything_runs(tmp_path: Path) -> None:
    from pipelines.checks.studies import check_study

    few = "{kind: phantoms, sites: [A], per_plane: 4, role: train, first_patient: 500, planes: [brain, femur]}"
    found = check_study(
        config(
            f"other_images={{few: {{image_size_px: 64, sources: [{few}]}}}}",
            "synthetic={base: {lora: none}, LoRA: {start: few}}",
        ),
        tmp_path,
    )
    (problem,) = found.problems
    assert problem.startswith("few has no training image of abdomen, thorax, other to start from: leave it out with")
    assert found.problems[problem] == ["synthetic.LoRA.start"]


def test_a_generator_that_draws_too_few_is_named(tmp_path: Path) -> None:
    from pipelines.checks.studies import check_study

    few = "synthetic={base: {lora: none}, LoRA: {}, few: {generate: {per_class: 2}}}"
    found = check_study(config(few, "arms={few: {mix: {filters: []}, synthetic: few}}"), tmp_path)
    (problem,) = found.problems
    assert found.problems[problem] == ["synthetic.few.generate.per_class"]
    assert "2 images of each plane are generated" in problem
    assert "more are added by 'few' (4): set synthetic.few.generate" in problem


def test_loras_that_differ_are_noted_once() -> None:
    from fulora.data.weights import LoraWeights
    from pipelines.generators import distinct_loras

    one, other = LoraWeights(Path("a"), "a"), LoraWeights(Path("b"), "b")
    assert distinct_loras({"LoRA": one, "again": one, "other": other}) == {"LoRA": one, "other": other}
