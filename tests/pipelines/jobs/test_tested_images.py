"""What jobs predict on: splits of image sets, folders with classes, pictures without labels; what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.config import ConfigError
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet, LabelSetError
from fulora.data.labels import UNLABELLED, Split
from fulora.data.patient_numbers import different_patients, note_different_patients
from fulora.engine import InProcess
from fulora.intake.raw_image import SourceError
from fulora.workspace import Workspace
from pipelines.jobs.images import Images
from pipelines.jobs.tested_images import UntestableImagesError, read_tested_images

LABELS = LabelSet.derived(["liver", "spleen"])
SPLITS: dict[Split, int] = {"train": 3, "validation": 1, "test": 2}


def picture(number: int, split: Split, plane: str, **values: object) -> Picture:
    rng = np.random.default_rng([number, len(split), len(plane)])
    row = {
        "file_name": "",
        "image_id": f"{split}-{number}-{plane}",
        "plane": plane,
        "split": split,
        "origin": "real",
        "source": "s",
        "site": "A",
        "patient": f"{split}{number}",
        "width": 0,
        "height": 0,
        "sha256": "",
        **values,
    }
    return Picture(Image.model_validate(row), rng.integers(0, 256, (24, 32)).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image set with three splits of two classes."""
    folder = tmp_path_factory.mktemp("set")
    pictures = [
        picture(n, split, plane) for split, count in SPLITS.items() for n in range(count) for plane in LABELS.names
    ]
    ImageSet.write(folder, pictures, labels=LABELS)
    return folder


def save(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32)).astype(np.uint8)).save(path)


def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work", InProcess())


def test_the_test_split_of_a_set_is_used_as_it_is(folder: Path, tmp_path: Path) -> None:
    tested = read_tested_images(folder, work=tmp_path)
    assert [row.image_id for row in tested.rows()] == [f"test-{n}-{plane}" for n in (0, 1) for plane in LABELS.names]
    assert tested.labelled
    assert tested.notes == ()
    assert (
        tested.of_classes(LABELS, workspace(tmp_path)) == tested.source == ImageSet(folder, tested.source.fingerprint)
    )
    assert read_tested_images(Images(tested.source), work=tmp_path) == tested


@pytest.mark.parametrize(("split", "count"), [("train", 6), ("validation", 2), ("all", 12)])
def test_another_split_becomes_the_test_split(folder: Path, tmp_path: Path, split: Split, count: int) -> None:
    tested = read_tested_images(folder, split=split, work=tmp_path)
    moved = tested.of_classes(LABELS, workspace(tmp_path))
    assert moved.path.parent == tmp_path / "work"
    assert moved.rows() == moved.rows("test")
    assert [row.changed(split="test") for row in tested.rows()] == moved.rows()
    assert len(moved.rows()) == count
    for before, after in zip(tested.rows(), moved.rows(), strict=True):
        assert np.array_equal(moved.stored(after), tested.source.stored(before))


def test_other_classes_in_another_order_and_what_is_left_out(folder: Path, tmp_path: Path) -> None:
    tested = read_tested_images(folder, work=tmp_path)
    more = LabelSet.model_validate({"name": "mine", "classes": ["spleen", "kidney", "liver"]})
    assert tested.of_classes(more, workspace(tmp_path)).label_set() == more
    alone = LabelSet.model_validate({"name": "mine", "classes": ["spleen", "kidney"]})
    with pytest.raises(LabelSetError, match=r"liver \(2\): images of classes that are not .*\(--leave-out 'liver'\)"):
        tested.of_classes(alone, workspace(tmp_path))
    kept = tested.of_classes(alone, workspace(tmp_path), leave_out=("liver",))
    assert {row.plane for row in kept.iter_rows()} == {"spleen"}
    with pytest.raises(LabelSetError, match=r"no image of 'lung', which is to be left out; there are liver \(6\)"):
        tested.of_classes(more, workspace(tmp_path), leave_out=("lung",))


def test_a_declaration_of_different_patients_stays(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    ImageSet.write(tmp_path / "set", [picture(0, "train", "liver")], labels=LABELS)
    note_different_patients(tmp_path / "set")
    moved = read_tested_images(tmp_path / "set", split="train", work=tmp_path).of_classes(LABELS, workspace(tmp_path))
    assert different_patients(moved.path)


def test_an_empty_split_and_synthetic_images_are_refused(tmp_path: Path) -> None:
    made = {"origin": "synthetic", "patient": "", "seed": "1", "generator": "g"}
    (tmp_path / "set").mkdir()
    pictures = [picture(0, "train", "liver"), picture(1, "train", "liver", **made)]
    ImageSet.write(tmp_path / "set", pictures, labels=LABELS)
    with pytest.raises(
        UntestableImagesError, match=r"no images in the split test; there are train \(2\).*--split \(train, all"
    ):
        read_tested_images(tmp_path / "set", work=tmp_path)
    with pytest.raises(UntestableImagesError, match="1 of 2 images of the split train are synthetic; only real images"):
        read_tested_images(tmp_path / "set", split="train", work=tmp_path)


def test_a_folder_with_classes_is_tested_on_whole(tmp_path: Path) -> None:
    for number, name in enumerate(("liver/P1_a", "liver/P2_a", "spleen/P1_b")):
        save(tmp_path / "own" / f"{name}.png", number)
    tested = read_tested_images(tmp_path / "own", {"patient_pattern": r"(P\d+)"}, work=tmp_path / "work")
    assert {row.split for row in tested.source.iter_rows()} == {"test"}
    assert {(row.plane, row.patient) for row in tested.rows()} == {("liver", "P1"), ("liver", "P2"), ("spleen", "P1")}
    assert tested.labelled
    with pytest.raises(ConfigError, match="no_such_setting"):
        read_tested_images(tmp_path / "own", {"no_such_setting": 1}, work=tmp_path / "work")
    with pytest.raises(SourceError, match=r"(?s)set patient_pattern.*If its images have no labels: --unlabelled"):
        read_tested_images(tmp_path / "own", work=tmp_path / "work")


@pytest.mark.parametrize(("names", "requested"), [(("1", "2"), False), (("a/1", "b/1"), True)])
def test_pictures_without_labels(
    tmp_path: Path, names: tuple[str, ...], requested: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(names):
        save(tmp_path / "own" / f"{name}.png", number)
    save(tmp_path / "own" / "masks" / "1.png")
    tested = read_tested_images(tmp_path / "own", unlabelled=requested, work=tmp_path / "work")
    assert not tested.labelled
    assert [row.patient for row in tested.rows()] == [f"{UNLABELLED}/{name}" for name in names]
    assert [row.plane for row in tested.rows()] == [UNLABELLED, UNLABELLED]
    reason = "as requested" if requested else "pictures without class folders or a list"
    assert reason in tested.notes[0]
    assert "predictions only, no scores" in capsys.readouterr().err.replace("\n", " ")
    moved = tested.of_classes(LABELS, workspace(tmp_path))
    assert moved.label_set() == LABELS
    assert [row.plane for row in moved.rows("test")] == [UNLABELLED, UNLABELLED]


def test_unlabelled_is_never_guessed_where_a_list_may_have_labels(tmp_path: Path) -> None:
    save(tmp_path / "own" / "1.png")
    (tmp_path / "own" / "labels.csv").write_text("file;what\n1.png;liver\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"(?s)unknown layout.*If its images have no labels: --unlabelled"):
        read_tested_images(tmp_path / "own", work=tmp_path)
    with pytest.raises(SourceError, match=r"no such folder$"):
        read_tested_images(tmp_path / "missing", work=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no pictures$"):
        read_tested_images(tmp_path / "empty", unlabelled=True, work=tmp_path)


def test_unlabelled_images_are_not_trained_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shows 'unlabelled'; the classes of its label set are liver, spleen"):
        ImageSet.write(tmp_path, [picture(0, "train", UNLABELLED)], labels=LABELS)


def test_a_pattern_still_finds_patients(tmp_path: Path) -> None:
    save(tmp_path / "own" / "P7_a.png")
    tested = read_tested_images(tmp_path / "own", {"patient_pattern": r"(P\d+)"}, work=tmp_path / "work")
    assert [row.patient for row in tested.rows()] == ["P7"]
