"""A segmentation study with every kind of arm, a few steps each, to its end; and what its config refuses."""

import json
from pathlib import Path

import pytest
import yaml
from command_inside import called
from PIL import Image as Pil
from pydantic import ValidationError

from fulora.data.image_set import ImageSet
from fulora.data.results import Scores
from fulora.engine import InProcess
from fulora.segmentation.pseudo_labels_file import PSEUDO, pseudo_labelled
from fulora.stage import Artifact, read_record
from fulora.workspace import Workspace
from pipelines.checks.studies import check_study
from pipelines.segmentation import SegmentationStudyConfig, run

pytestmark = pytest.mark.slow

PSFHS = {"kind": "psfhs", "role": "train+validation+test"}
LOBES = {"name": "lobes", "classes": [{"name": "brain", "structures": {"left": 1, "right": 3}}]}
NOTHING = {"name": "nothing", "classes": ["brain"]}
PHANTOMS = {"kind": "phantoms", "sites": ["A"], "planes": ["brain"], "per_plane": 16, "images_per_patient": 1}
WHOLE = PHANTOMS | {"role": "train+validation+test"}
CLASSES = {"kind": "class_folders", "folder": "a", "patients_unknown": True, "role": "train+validation+test"}
TINY = {
    "study": "segmentation",
    "heads": {"image_size_px": 64, "sources": [WHOLE]},
    "unet": {
        "encoder": "mobilenet_v2",
        "decoder_channels": [16, 16, 16, 8, 8],
        "steps": 2,
        "batch_size": 2,
        "evaluate_every": 2,
        "device": "cpu",
    },
    "arms": {"real": {}, "strong augmentation": {"augmentation": "strong"}},
    "score": {"draws": 100, "permutations": 100, "comparisons": {"baseline": "real"}},
    "report": {"title": "tiny", "about": "nothing"},
}
SYNTHETIC = {
    "backbone": {"kind": "demo"},
    "lora": {"rank": 2, "steps": 2, "batch_size": 8, "device": "cpu"},
    "control": {"steps": 2, "batch_size": 2, "device": "cpu"},
    "generate": {"per_class": 4, "planes": ["brain"], "steps": 2, "batch_size": 4, "device": "cpu"},
    "folds": 2,
    "additions": {"images": 3},
}


NO_CONTROL = {name: value for name, value in SYNTHETIC.items() if name != "control"}


def added(**arm: object) -> dict[str, object]:
    """A study with one arm of added images."""
    return {"synthetic": SYNTHETIC | {"arms": {"a": arm}}}


def config(**changes: object) -> SegmentationStudyConfig:
    return SegmentationStudyConfig.model_validate(TINY | changes)


def made(work: Path, stage: str) -> list[Path]:
    return [path for path in sorted(work.glob(f"{stage}-*")) if read_record(path)["stage"] == stage]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("study")
    report = run(config(sizes=[4, "all"], synthetic=SYNTHETIC), Workspace(work, InProcess()))
    assert (report.path / "report.html").is_file()
    return work


def test_every_arm_is_scored_and_compared_at_its_size(finished: Path) -> None:
    rows = Scores(made(finished, "score_masks")[0], "").rows()
    arms = {row.arm for row in rows if row.quantity == "Dice" and row.statistic == "mean"}
    names = ["real", "strong augmentation", "pseudo-labelled synthetic", "pseudo-labelled synthetic unfiltered"]
    names += ["synthetic pairs", "synthetic pairs unfiltered", "synthetic on masks"]
    assert arms == {f"{name}, {size} images" for name in names for size in (4, "all")} | {
        "pseudo-labelled real, 4 images"
    }
    compared = {(row.arm, row.baseline) for row in rows if row.quantity == "Dice" and row.baseline}
    assert compared == {(arm, f"real, {arm.rpartition(', ')[2]}") for arm in arms if not arm.startswith("real, ")}
    assert {row.n_images for row in rows if row.quantity == "Dice"} == {5}


def test_arms_at_a_size_know_the_same_masks(finished: Path) -> None:
    few = ImageSet(made(finished, "take_few")[0], "")
    known = {row.image_id for row in few.rows("train")}
    assert len(known) == 4
    for path in [*made(finished, "pseudo_label"), *made(finished, "split_pairs"), *made(finished, "add_drawn")]:
        images = ImageSet(path, "")
        added, rows = pseudo_labelled(images), images.rows("train")
        own = {row.image_id for row in rows} - added
        assert own in (known, own) and len(own) in (4, 8)  # noqa: PT018
        record = json.loads((path / PSEUDO).read_text())
        assert set(record["accepted"]) == added
        assert len(added) <= 3
        assert record["looked_at"] == len(added) + sum(record["rejected"].values())
        assert all(row.mask_file for row in rows)


def mode(path: Path) -> str:
    with Pil.open(path) as image:
        return str(image.mode)


def test_pairs_are_drawn_in_colour_and_arrive_gray_with_a_mask(finished: Path) -> None:
    sets = [ImageSet(path, "") for path in made(finished, "generate")]
    modes = [mode(images.path / "train" / images.rows("train")[0].file_name) for images in sets]
    assert sorted(modes) == ["L", "L", "RGB", "RGB"]
    for path in made(finished, "split_pairs"):
        images = ImageSet(path, "")
        for row in images.rows("train"):
            assert mode(path / row.split / row.file_name) == "L"
            assert set(images.mask(row).ravel()) <= {0, 1}


def test_whom_the_generator_saw_is_remembered(finished: Path) -> None:
    for path in made(finished, "split_pairs"):
        book = ImageSet(path, "").provenance()
        assert book.patients()
        assert {entry.name.split()[0] for entry in book.entries} >= {"images", "synthetic", "LoRA", "backbone"}


def test_it_is_cached(finished: Path) -> None:
    lines: list[float] = []
    again = Workspace(finished, InProcess(), report=lambda step, seconds: lines.append(seconds))
    report: Artifact = run(config(sizes=[4, "all"], synthetic=SYNTHETIC), again)
    assert set(lines) == {0.0}
    page = (report.path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") > 10
    assert "Segmentation arms compared" in page


def test_status_of_a_finished_study_says_ready(finished: Path) -> None:
    plan = Workspace(finished, InProcess(), plan=True)
    run(config(sizes=[4, "all"], synthetic=SYNTHETIC), plan)
    assert {step.state for step in plan.steps} == {"ready"}
    assert plan.steps[-1].call.stage.name == "report"


def test_the_default_arms_can_be_written_out() -> None:
    unfiltered = {"filtered": False, "refine": False}
    written = {
        "pseudo-labelled synthetic": {"method": "pseudo_labels"},
        "pseudo-labelled synthetic unfiltered": {"method": "pseudo_labels", "additions": unfiltered},
        "pseudo-labelled real": {"method": "pseudo_labels_of_real"},
        "synthetic pairs": {"method": "pairs"},
        "synthetic pairs unfiltered": {"method": "pairs", "additions": unfiltered},
        "synthetic on masks": {"method": "on_masks"},
    }
    assert config(synthetic=SYNTHETIC | {"arms": written}) == config(synthetic=SYNTHETIC)
    without = config(synthetic=NO_CONTROL).synthetic
    assert without is not None
    assert list(without.arms) == list(written)[:-1]


def test_an_arm_of_added_images_says_only_what_differs() -> None:
    changes = {"method": "pairs", "lora": {"rank": 4}, "generate": {"steps": 9}, "additions": {"images": 2}}
    found = config(**added(**changes)).synthetic
    assert found is not None
    arm = found.arms["a"]
    assert arm.lora == found.lora.changed(rank=4, mask_channel=True)
    assert arm.generate == found.generate.changed(steps=9, colour="rgb")
    assert (arm.additions, arm.control) == (found.additions.changed(images=2), None)


def test_epochs_shorter_than_the_warm_up_are_reported_before_anything_runs(tmp_path: Path) -> None:
    warm = {"real": {}, "warm": {"epochs": 1, "warmup_steps": 50}}
    found = check_study(config(arms=warm, sizes=[4, "all"]), tmp_path)
    assert len(found.problems) == 2
    assert set(map(tuple, found.problems.values())) == {("arms.warm",)}
    few = "epochs=1 over 4 images in batches of 2 are 2 steps: warmup_steps=50 leaves nothing of them"
    assert few in found.problems


def test_classes_without_masks_are_not_drawn_for_arms(tmp_path: Path) -> None:
    given = NO_CONTROL | {"generate": {"per_class": 4, "planes": ["brain", "femur"]}}
    found = check_study(config(synthetic=given | {"arms": {"a": {"method": "pairs"}}}), tmp_path)
    (problem,) = found.problems
    assert found.problems[problem] == ["synthetic.arms.a.generate.planes"]
    assert problem.startswith("femur: its images have no masks; classes with masks: brain")


def test_folds_become_one_prediction(tmp_path: Path) -> None:
    run(
        config(folds=2, arms={}, score={"draws": 100, "permutations": 100}, sizes=["all"]),
        Workspace(tmp_path, InProcess()),
    )
    assert len(made(tmp_path, "train_unet")) == 2
    assert len(made(tmp_path, "segment")) == 1


def test_a_dry_run_lists_the_arms_and_trains_nothing(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"sizes": [4, "all"]}))
    done = called("run", tmp_path / "tiny.yaml", "--dry-run", "--work", tmp_path / "work")
    assert done.code == 0
    for arm in ("real, 4 images", "strong augmentation, all images"):
        assert arm in done.stdout
    assert "4 trainings, 0 cached, 4 to do" in done.stdout
    assert "this study trains no LoRA" in done.stdout
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"score": {"comparisons": {"baseline": "nobody"}}},
            "score.comparisons.baseline: no arm 'nobody'; there are real, strong augmentation",
        ),
        ({"score": {"metrics": ["Dise"]}}, "there is no 'Dise'; there are Dice, failures, "),
        ({"sizes": [4, 4]}, "sizes: .* duplicate value"),
        ({"seeds": [0, 0]}, "seeds: .* duplicate value"),
        ({"arms": {"a\nb": {}}}, r"arms: 'a\\nb': a name has a letter or sign, and no line breaks"),
        (
            {"arms": {"real": {}, "synthetic pairs": {}}, "synthetic": SYNTHETIC},
            "arms: synthetic pairs is taken",
        ),
        (
            {"report": TINY["report"] | {"shown": ["real, 4 images"]}},
            "report.shown: no arm 'real, 4 images'; there are real",
        ),
        ({"arms": {"real": {}, "b": {"strategy": "d0"}}}, "(?s)arms.b.*freezes the encoder"),
        ({"arms": {"real": {}, "b": {"seed": 5}}}, "arms.b: its seed and fold would not be used"),
        ({"unet": TINY["unet"] | {"fold": [0, 3]}}, "unet.fold would not be used"),  # type: ignore[operator]
        ({"seeds": [2**64]}, "arms.real: seed is 18446744073709551616; the largest possible"),
        ({"arms": {"real": {"encoder_weights": "file"}}}, "real: encoder_weights=file reads a file: set encoder_file"),
        ({"arms": {"real": {"classes": 3}}}, "real: classes=3, and these masks have 1"),
        ({"arms": {"real": {"classes": 4}}}, "real: classes=4, and these masks have 1; leave classes out"),
        ({"heads": {"sources": [PSFHS]}, "arms": {"real": {"classes": 1}}}, "classes=1, and these masks have 3"),
        (
            {"heads": {"sources": [PSFHS]}, "synthetic": SYNTHETIC},
            "draws masks of one structure, 1, and these hold 1 sym",
        ),
        (
            {"heads": {"sources": [PSFHS], "label_set": "fetal_planes"}, "arms": {"real": {"classes": 3}}},
            "masks have 1",
        ),
        ({"heads": {"sources": [WHOLE], "label_set": LOBES}, "arms": {"real": {"classes": 3}}}, "these masks have 4"),
        ({"heads": {"sources": [WHOLE], "label_set": NOTHING}}, "none of its classes .* says what its masks hold"),
        ({"heads": {"sources": [WHOLE], "label_set": ["fetal_planes", "intrapartum"]}}, "class number 1 is head in"),
        ({"arms": {"real": {"setps": 3}}}, "setps"),
        ({"score": {"comparisons": {"declared": ["real", "none"]}}}, "score.comparisons: no arm 'none'"),
        ({"heads": {"sources": [PHANTOMS | {"role": "train"}]}}, "no source has the role"),
        (
            {"heads": {"sources": [WHOLE | {"planes": ["femur"]}]}},
            "shows femur, and the label set fetal_planes says nothing",
        ),
        ({"heads": {"sources": [WHOLE | {"planes": ["other"]}]}}, "has no masks"),
        ({"heads": {"sources": [CLASSES]}}, "has no masks; use a source that brings them, such as parallel_f"),
        (
            {"heads": {"sources": [PSFHS, WHOLE]}},
            r"have different classes:\n.*label set intrapartum\n.*label set fetal_planes",
        ),
        (added(method="pairs", lora={"mask_channel": False}), "method=pairs: pairs need a lora with mask_channel=true"),
        (added(method="pairs", lora="none"), "method=pairs: pairs need a lora with mask_channel=true"),
        (added(method="pseudo_labels", lora={"mask_channel": True}), "method=pseudo_labels: pairs need a lora with"),
        (added(method="pairs", generate={"colour": "gray"}), "generate.colour=gray: the mask is a colour; set rgb"),
        (
            added(method="on_masks", lora={"rank": 3}),
            "method=on_masks uses no lora; it uses control, generate, additions",
        ),
        (added(method="pseudo_labels_of_real", generate={}), "method=pseudo_labels_of_real uses no generate"),
        (
            {"synthetic": NO_CONTROL | {"arms": {"a": {"method": "on_masks"}}}},
            "method=on_masks needs control; set it here",
        ),
        (added(method="magic"), "arms.a.method"),
        (added(method="pairs", lora={"rnak": 3}), "arms.a.lora.rnak"),
        ({"synthetic": SYNTHETIC | {"arms": {}}}, "arms: empty; name one, or leave arms out"),
        ({"unet": TINY["unet"] | {"epochs": 3, "steps": 2}, "synthetic": SYNTHETIC | {"real_last": 1.0}}, "real_last"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_the_baseline_is_compared_with_at_every_size() -> None:
    """Named without its size, or taken from the declared comparison; arms may have any name."""
    odd = {"arms": {"a - b, c": {}, "real minus": {}, "🙂": {}}, "sizes": [4, "all"]}
    everywhere = [
        (f"{arm}, {size} images", f"a - b, c, {size} images") for size in (4, "all") for arm in ("real minus", "🙂")
    ]
    named = config(**odd, score={"comparisons": {"baseline": "a - b, c"}}).scoring().comparisons
    assert (named.pairs(), named.common()) == (everywhere, "")
    declared = everywhere[2]
    taken = config(**odd, score={"comparisons": {"declared": declared}}).scoring().comparisons
    assert taken.pairs() == [declared, *(pair for pair in everywhere if pair != declared)]
    assert config(**odd, score={}).scoring().comparisons.pairs() == []
