"""Which files of a folder are masks and which are pictures, and what does not count at all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.assessment.loaded_pictures import read_pictures
from fulora.data.label_set import label_set
from fulora.intake.layout_detection import detect_layout
from fulora.intake.masks.file_names import case_name, find_pictures_and_masks, is_named_as_mask
from fulora.intake.masks.files import find_masks
from fulora.intake.picture_files import is_clutter, list_files, list_folder
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.kohya import KohyaConfig

CLASSES = label_set("fetal_planes").joined(label_set("intrapartum"))

CLUTTER = (
    "__MACOSX/brain/._a.png",
    "._a.png",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "@eaDir/a.png",
    "$RECYCLE.BIN/a.png",
    ".ipynb_checkpoints/a-checkpoint.png",
    ".AppleDouble/a.png",
    "System Volume Information/a.png",
    "lost+found/a.png",
    "#recycle/a.png",
)


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Pil.fromarray(np.full((8, 8), 9, np.uint8)).save(path, format="png")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "010_HC_Mask.png",
        "a_Annotation.png",
        "a_seg.png",
        "a-mask.png",
        "a_masks.png",
        "a_gt.png",
        "a.seg.nii.gz",
        "benign (1)_mask_1.png",
        "mask_010.png",
        "masks/010.png",
        "label_mha/00001.mha",
        "train_labels/1.png",
        "Ground Truth/1.png",
        "gt/1.png",
        "brain/segmentations/1.png",
        "a_prediction.png",
    ],
)
def test_masks_are_recognised_by_their_names_and_folders(name: str) -> None:
    assert is_named_as_mask(Path("masks"), Path("masks") / name)


@pytest.mark.parametrize(
    "name",
    ["010_HC.png", "Patient01_Plane3_1_of_2.png", "unmasked.png", "image_mha/1.mha", "labelled/1.png", "seg.png"],
)
def test_pictures_are_no_masks(name: str) -> None:
    assert not is_named_as_mask(Path("masks"), Path("masks") / name)


def test_a_case_has_its_accents_composed_and_no_word_for_mask() -> None:
    assert case_name(Path("Gru\u0308n_Mask.png")) == "Gr\u00fcn"
    assert case_name(Path("mask_010.png")) == case_name(Path("010_seg.nii.gz")) == "010"


def test_pictures_and_masks_of_a_folder_are_separated(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a_Mask.png", "images/b.png", "masks/b.png", "audit/site.png", *CLUTTER)
    (tmp_path / "audit" / "summary.json").write_text("{}")
    pictures, masks = find_pictures_and_masks(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in pictures] == ["a.png", "images/b.png"]
    assert [path.relative_to(tmp_path).as_posix() for path in masks] == ["a_Mask.png", "masks/b.png"]
    assert sorted(find_masks(tmp_path)) == ["a", "b"]


def test_pictures_among_masks_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    find_masks(make(tmp_path, "a.png", "a_Mask.png", "b.png"))
    assert "1 files are named like masks; the 2 others are images, such as a.png" in capsys.readouterr().err


def test_an_assessed_folder_holds_no_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read_pictures(make(tmp_path, "brain/a.png", "brain/a_mask.png", "masks/brain/a.png", *CLUTTER))
    assert found.ids.tolist() == ["brain/a.png"]
    assert "2 files named as masks passed over" in capsys.readouterr().err


def test_training_folders_of_kohya_hold_no_masks(tmp_path: Path) -> None:
    make(tmp_path, "5_brain/a.png", "5_brain/a_mask.png")
    (tmp_path / "5_brain" / "a_mask.txt").write_text("brain")
    told: list[str] = []
    images = list(
        read_source(
            KohyaConfig(
                folder="", source="kohya", words={"brain": "brain"}, patient_pattern=None, patients_unknown=True
            ),
            SourceInputs(tmp_path, labels=CLASSES),
            told.append,
        )
    )
    assert [image.name for image in images] == ["5_brain/a"]
    assert [message.partition(": ")[2] for message in told] == [
        "named like a mask, and kohya's folders hold images only; remove it"
    ]


def test_what_operating_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "Set/brain/a.png", *CLUTTER, *(f"Set/{name}" for name in CLUTTER))
    assert [path.relative_to(tmp_path).as_posix() for path in list_files(tmp_path)] == ["Set/brain/a.png"]
    assert list_folder(tmp_path) == [tmp_path / "Set"]
    assert detect_layout(tmp_path) == ("class_folders", tmp_path / "Set")
    assert not is_clutter("README.md")
