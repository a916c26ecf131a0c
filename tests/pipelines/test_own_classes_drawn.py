"""Classes of one's own with odd names, two and thirty: LoRAs, drawing, mixing, judges, assessment, every export."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import datasets
import numpy as np
import pytest
from command_inside import QUICK, called
from image_rows import image_row
from PIL import Image as Pil

from fulora.assessment.assess import read_findings
from fulora.assessment.assessed_sets import read_sets
from fulora.assessment.config import AssessConfig
from fulora.classification.config import ClassifierConfig
from fulora.data.hybrid import MixConfig
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet, LabelSetError, read_label_set
from fulora.data.weights import JudgeWeights
from fulora.export.card import Format
from fulora.export.export import export
from fulora.stage import Source
from pipelines.backbone_names import ASSETS
from pipelines.stages.assess import assess
from pipelines.stages.mix import mix
from pipelines.stages.train_judges import train_judges

pytestmark = pytest.mark.slow

ODD = ("Left kidney", "4CH & LVOT", "腎臓", "niño_2", "x [y] #1", "no")
TWO = LabelSet.derived(["Left kidney", "腎臓"], name="two")
THIRTY = LabelSet.derived([f"{name} {number}" for number in range(5) for name in ODD], name="thirty")
EITHER = pytest.mark.parametrize("labels", [TWO, THIRTY], ids=["two", "thirty"])


def shaded(labels: LabelSet, each: int, split: str, **about: Any) -> Iterator[Picture]:
    """Pictures whose shade tells the class, each of a patient of its own unless they are synthetic."""
    step = 160 // len(labels.names)
    for place, plane in enumerate(labels.names):
        for number in range(each):
            name = f"{split}_{about.get('origin', 'real')}_{place:02d}_{number}"
            row = image_row(name, **({"plane": plane, "split": split, "patient": "" if about else name} | about))
            noise = np.random.default_rng(list(name.encode())).integers(0, 30, (32, 32))
            yield Picture(row, (40 + step * place + noise).astype(np.uint8))


def written(folder: Path, labels: LabelSet, *parts: Iterator[Picture]) -> ImageSet:
    folder.mkdir()
    ImageSet.write(folder, [picture for part in parts for picture in part], labels=labels)
    return ImageSet(folder, folder.name)


def real_set(folder: Path, labels: LabelSet, each: int = 2) -> ImageSet:
    return written(folder, labels, *(shaded(labels, each, split) for split in ("train", "validation")))


def synthetic_set(folder: Path, labels: LabelSet, each: int = 2) -> ImageSet:
    made = {"origin": "synthetic", "seed": "1", "generator": "g"}
    return written(folder, labels, shaded(labels, each, "train", **made))


def mixed(out: Path, config: MixConfig, real: ImageSet, synthetic: ImageSet) -> ImageSet:
    out.mkdir()
    return mix.function(out, config, real, synthetic)


# --- LoRAs and drawing


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    images = real_set(folder / "set", TWO)
    done = called(
        "lora", "train", images.path, "rank=1", "steps=1", "batch_size=2", "device=cpu", "--out", folder / "x"
    )
    assert done.code == 0, done.stderr
    return folder / "x"


def test_a_lora_brings_its_classes_and_captions(lora: Path, tmp_path: Path) -> None:
    assert read_label_set(lora) == TWO
    done = called("generate", "--lora", lora, "--count", "1", *QUICK, "max_rejected=1", "--out", tmp_path / "set")
    assert done.code == 0, done.stderr
    images = ImageSet(tmp_path / "set", "")
    assert images.label_set() == TWO
    assert [(row.plane, row.caption) for row in images.rows()] == list(TWO.captions.items())


def test_start_images_bring_their_classes_and_a_file_gives_any(tmp_path: Path) -> None:
    start = real_set(tmp_path / "real", TWO)
    (tmp_path / "mine.yaml").write_text("name: mine\nclasses: [one view, {name: other view, caption: another}]\n")
    mine = ("--labels", tmp_path / "mine.yaml")
    for name, options, rows in (
        ("start", ("--start", start.path, "--plane", "腎臓"), [("腎臓", "a photo of 腎臓")]),
        ("file", mine, [("one view", "a photo of one view"), ("other view", "another")]),
        ("prompt", (*mine, "--plane", "one view", "prompts.one view=x"), [("one view", "x")]),
    ):
        done = called("generate", *options, "--count", "1", *QUICK, "max_rejected=1", "--out", tmp_path / name)
        assert done.code == 0, done.stderr
        assert [(row.plane, row.caption) for row in ImageSet(tmp_path / name, "").rows()] == rows


def test_label_sets_that_differ_are_refused_with_both(lora: Path, tmp_path: Path) -> None:
    start = real_set(tmp_path / "real", LabelSet.derived(["a", "b"]))
    ours = "Left kidney, 腎臓, label set two"
    for options, said in (
        (("--labels", "intrapartum"), f"--labels intrapartum: intrapartum, label set intrapartum\n  the LoRA {lora}"),
        (("--start", start.path), f": {ours}\n  the images of --start {start.path}: a, b, label set derived"),
    ):
        done = called("generate", "--lora", lora, *options, "--count", "1", *QUICK, "--out", tmp_path / "set")
        assert (done.code, done.stdout) == (2, "")
        assert said in done.stderr
        assert ours in done.stderr


# --- mixing


@EITHER
def test_hybrid_sets_of_any_classes(labels: LabelSet, tmp_path: Path) -> None:
    real, synthetic = real_set(tmp_path / "real", labels), synthetic_set(tmp_path / "made", labels, 3)
    first, *others = labels.names
    ratio = {first: 1.5, others[-1]: 1.0}
    images = mixed(tmp_path / "mix", MixConfig(ratio=ratio, filters=("blank",)), real, synthetic)
    assert images.label_set() == labels
    rows = [row for row in images.rows("train") if row.origin == "synthetic"]
    assert [row.plane for row in rows] == [first] * 3 + [others[-1]] * 2
    added = json.loads((images.path / "mix.json").read_text())["added"]
    assert added == {name: {first: 3, others[-1]: 2}.get(name, 0) for name in labels.names}


def test_a_synthetic_set_of_some_of_the_classes_is_fine_and_of_others_is_refused(tmp_path: Path) -> None:
    real = real_set(tmp_path / "real", TWO)
    some = {"origin": "synthetic", "seed": "1", "generator": "g"}
    part = written(tmp_path / "part", TWO, shaded(TWO.only(["腎臓"]), 2, "train", **some))
    ratio = {"腎臓": 1.0}
    assert len(mixed(tmp_path / "mix", MixConfig(ratio=ratio, filters=()), real, part).rows("train")) == 6
    with pytest.raises(
        LabelSetError, match=r"the real images: Left kidney, 腎臓, label set two\n  the synthetic images"
    ):
        mixed(tmp_path / "a", MixConfig(filters=()), real, synthetic_set(tmp_path / "made", THIRTY))
    with pytest.raises(LabelSetError, match=r"mix.ratio: 'kidney': no class of the label set two; it has Left kidney"):
        mixed(tmp_path / "b", MixConfig(ratio={"kidney": 1.0}, filters=()), real, part)


# --- exports


@EITHER
@pytest.mark.parametrize("format", get_args(Format))
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated", "ignore:The inplace keyword")
def test_exports_say_the_classes_and_can_be_read_back(labels: LabelSet, format: Format, tmp_path: Path) -> None:
    images = real_set(tmp_path / "set", labels)
    out = export(images, format, tmp_path / "out")
    assert read_label_set(out) == labels
    train = images.rows("train")
    if format == "kohya":
        found = {path.name: len(list(path.glob("*.png"))) for path in out.iterdir() if path.is_dir()}
        assert found == {f"1_{name}": 2 for name in labels.names}
        assert next((out / f"1_{labels.names[0]}").glob("*.txt")).read_text().strip() == labels.classes[0].caption
        return
    if format == "croissant":
        assert ImageSet(out, "").rows() == images.rows()
        assert ImageSet(out, "").label_set() == labels
    data = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
    if format == "parquet":
        assert data.features["label"].names == list(labels.names)
        assert [data.features["label"].int2str(number) for number in data["label"]] == [row.plane for row in train]
    if format == "webdataset":
        assert data.features["cls"].names == list(labels.names)
        assert {(each["plane"], number) for each, number in zip(data["json"], data["cls"], strict=True)} == {
            (name, place) for place, name in enumerate(labels.names)
        }
        assert (out / "classnames.txt").read_text(encoding="utf-8").splitlines() == list(labels.names)


# --- judges and assessment


@EITHER
def test_judges_and_prompts_of_any_classes(labels: LabelSet, tmp_path: Path) -> None:
    each = 8 if labels is TWO else 2
    real, made = real_set(tmp_path / "real", labels, each), synthetic_set(tmp_path / "made", labels, each)
    for folder in ("judges", "found"):
        (tmp_path / folder).mkdir()
    cfg = ClassifierConfig(steps=3, batch_size=8, stem="imagenet", image_size_px=32)
    judges = JudgeWeights(train_judges.function(tmp_path / "judges", 2, cfg, real).path, "")
    assert read_label_set(judges.path) == labels
    config, clip = AssessConfig(draws=100, encoders=("pixels", "clip"), false_reject=0.2), Source(ASSETS / "clip", "")
    found = read_findings(assess.function(tmp_path / "found", config, made, real, real, clip, None, judges).path)
    assert found.classes == labels.names
    assert {truth.by for truth in found.truths} == {"clip", "judge"}
    assert [truth.plane for truth in found.truths if truth.by == "judge"] == list(labels.names)
    assert all(len(truth.seen) == len(labels.names) and sum(truth.seen) == each for truth in found.truths)


def test_sets_and_judges_of_other_classes_are_refused(tmp_path: Path) -> None:
    real, made = real_set(tmp_path / "real", TWO), synthetic_set(tmp_path / "made", THIRTY)
    with pytest.raises(LabelSetError, match=r"the held-out images: Left kidney, 腎臓.*\n  the synthetic images: "):
        read_sets(made, real, real)
    with pytest.raises(LabelSetError, match="\n  the training images: "):
        read_sets(synthetic_set(tmp_path / "two", TWO), real_set(tmp_path / "other", THIRTY), real)
    (tmp_path / "judges").mkdir()
    (tmp_path / "judges" / "folds.json").write_text("{}")
    THIRTY.write(tmp_path / "judges")
    for folder, said in (
        (real.path, "the pictures: Left kidney, 腎臓"),
        (flat(tmp_path), "classes of the pictures are not"),
    ):
        done = called("assess", folder, "--real", folder, "--encoder", "pixels", "--judges", tmp_path / "judges")
        assert done.code == 2
        assert said in done.stderr


def flat(folder: Path, names: tuple[str, ...] = ("",)) -> Path:
    """A folder of pictures, in subfolders if they have names."""
    for name in names:
        (folder / "flat" / name).mkdir(parents=True, exist_ok=True)
        for picture in shaded(TWO, 8, "train"):
            Pil.fromarray(picture.pixels).save(folder / "flat" / name / f"{picture.row.image_id}.png")
    return folder / "flat"


def test_folders_are_classes_by_their_names(tmp_path: Path) -> None:
    images = real_set(tmp_path / "real", TWO, 8)
    plain = flat(tmp_path, ("left_kidney", "elsewhere", "腎臓/images"))
    command = ("assess", plain, "--encoder", "hash", "--encoder", "clip", "--draws", "100", "--json", "-")
    alone = called(*command, "--real", plain)
    assert alone.code == 0, alone.stderr
    assert json.loads(alone.stdout)["classes"] == ["elsewhere", "left_kidney", "腎臓"]
    assert "classes by the names of folders: elsewhere, left_kidney, 腎臓; --labels gives them prompts" in alone.stderr
    beside = called(*command, "--real", images.path)
    assert beside.code == 0, beside.stderr
    found = json.loads(beside.stdout)
    assert found["classes"] == list(TWO.names)
    assert {truth["plane"]: truth["n"] for truth in found["truths"]} == {"Left kidney": 16, "腎臓": 16}
    assert "16 of 48 pictures are in no folder named Left kidney or 腎臓" in beside.stderr
