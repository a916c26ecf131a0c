"""A segmentation study with every kind of arm, a few steps each, to its end; and what its config refuses."""

import json
from pathlib import Path

import pytest
import yaml
from command_inside import called
from PIL import Image as Pil
from pydantic import ValidationError

from fulora.data.manifest import ImageSet
from fulora.data.results import Scores
from fulora.engine import InProcess
from fulora.segmentation.material import PSEUDO, pseudo_labelled
from fulora.stage import Artifact, read_record
from fulora.workspace import Workspace
from pipelines.segmentation import SegmentationStudyConfig, run

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
        "encoder": "resnet18", "decoder_channels": [16, 16, 16, 8, 8], "steps": 2, "batch_size": 2,
        "evaluate_every": 2, "device": "cpu",
    },
    "arms": {"real": {}, "strong augmentation": {"augmentation": "strong"}},
    "baseline": "real",
    "score": {"draws": 100, "permutations": 100},
    "report": {"title": "tiny", "about": "nothing"},
}  # fmt: skip
SYNTHETIC = {
    "backbone": {"kind": "demo"},
    "lora": {"rank": 2, "steps": 2, "batch_size": 2, "device": "cpu"},
    "pairs_lora": {"rank": 2, "steps": 2, "batch_size": 2, "mask_channel": True, "device": "cpu"},
    "control": {"steps": 2, "batch_size": 2, "device": "cpu"},
    "generate": {"per_class": 4, "planes": ["brain"], "steps": 2, "batch_size": 4, "device": "cpu"},
    "folds": 2,
    "additions": {"images": 3},
}


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
    arms = {row.arm for row in rows if row.name == "Dice"}
    names = ["real", "strong augmentation", "pseudo-labelled synthetic", "pseudo-labelled synthetic unfiltered"]
    names += ["synthetic pairs", "synthetic pairs unfiltered", "synthetic on masks"]
    assert arms == {f"{name}, {size} images" for name in names for size in (4, "all")} | {
        "pseudo-labelled real, 4 images"
    }
    compared = {row.arm for row in rows if row.name.startswith("Dice, ") and " minus " in row.name}
    assert compared == {f"{arm} - real, {arm.rpartition(', ')[2]}" for arm in arms if not arm.startswith("real, ")}
    assert {row.n_images for row in rows if row.name == "Dice"} == {5}


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
        assert ImageSet(path, "").tainted_by()


def test_it_is_cached(finished: Path) -> None:
    lines: list[float] = []
    again = Workspace(finished, InProcess(), report=lambda step, seconds: lines.append(seconds))
    report: Artifact = run(config(sizes=[4, "all"], synthetic=SYNTHETIC), again)
    assert set(lines) == {0.0}
    page = (report.path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") > 10
    assert "Segmentation arms compared" in page


def test_folds_become_one_prediction(tmp_path: Path) -> None:
    run(config(folds=2, arms={}, baseline="", sizes=["all"]), Workspace(tmp_path, InProcess()))
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
        ({"baseline": "nobody"}, "baseline: no arm 'nobody'; there are real, strong augmentation"),
        ({"sizes": [4, 4]}, "sizes: .* one stands twice"),
        ({"seeds": [0, 0]}, "seeds: .* one stands twice"),
        ({"arms": {"a, b": {}}}, "write it without"),
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
        ({"score": {"declared": ["real", "none"]}}, "score.declared: no arm 'none'"),
        ({"heads": {"sources": [PHANTOMS | {"role": "train"}]}}, "no source has the role"),
        (
            {"heads": {"sources": [WHOLE | {"planes": ["femur"]}]}},
            "shows femur, and the label set fetal_planes says nothing",
        ),
        ({"heads": {"sources": [WHOLE | {"planes": ["other"]}]}}, "has no masks"),
        ({"heads": {"sources": [CLASSES]}}, "has no masks; use parallel_folders, class_folders with a mask_suffix"),
        (
            {"heads": {"sources": [PSFHS, WHOLE]}},
            r"have different classes:\n.*label set intrapartum\n.*label set fetal_planes",
        ),
        ({"synthetic": SYNTHETIC | {"pairs_lora": {}}}, "set pairs_lora.mask_channel=true"),
        ({"synthetic": SYNTHETIC | {"generate": {"per_class": 2}}}, r"heads are of planes: \[brain\]"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**changes)
