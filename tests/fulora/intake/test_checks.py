"""Checks: each thing that would leak or mislead is planted once and found; what is clean is called clean."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from fulora.config import ConfigError
from fulora.data.pictures import near_duplicates
from fulora.data.pictures.near_duplicates import near_pairs
from fulora.intake.check.check_folder import check_folder, curate_config
from fulora.intake.check.findings import Check
from fulora.intake.check.image_facts import read_image_facts
from fulora.intake.layout_detection import detect_layout
from fulora.intake.phantoms.scan import draw
from fulora.intake.raw_image import SourceError
from fulora.intake.source_config import SourceInputs

PATTERN = {"kind": "class_folders", "patient_pattern": r"P(\d+)"}
GRAY = {plane: draw(plane, range(6), site="A", size_px=96, seed=1) for plane in ("brain", "femur")}


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(pixels).save(path)
    return path


@pytest.fixture
def planes(tmp_path: Path) -> Path:
    """Six patients, two planes each: clean."""
    for plane, drawn in GRAY.items():
        for number, picture in enumerate(drawn.images):
            save(tmp_path / "planes" / plane / f"P{number}.png", picture)
    return tmp_path / "planes"


def kinds(found: Check) -> dict[str, int]:
    return {finding.kind: finding.count for finding in found.findings if finding.severity != "note"}


def test_a_clean_folder_is_called_clean(planes: Path) -> None:
    found = check_folder(planes, PATTERN)
    assert found.clean
    assert (found.kind, found.n_images, found.n_patients) == ("class_folders", 12, 6)
    assert found.counts["plane"] == {"brain": 6, "femur": 6}
    assert found.counts["size"] == {"96 x 96": 12}
    assert found.counts["mode"] == {"L": 12}
    assert [(f.kind, f.count) for f in found.findings] == [("patients with several images", 6)]


def picture(planes: Path, number: int, plane: str = "brain") -> np.ndarray:
    return np.asarray(Pil.open(planes / plane / f"P{number}.png"))


def copied(planes: Path) -> None:
    """The same pixels under another patient, as a colour BMP."""
    Pil.open(planes / "brain" / "P1.png").convert("RGB").save(planes / "brain" / "P2_again.bmp")


def brightened(planes: Path) -> None:
    """The same frame of another patient: cropped by one pixel, scaled, brightened, compressed."""
    frame = np.clip(picture(planes, 1)[1:, 1:] * 1.1, 0, 255).astype(np.uint8)
    Pil.fromarray(cv2.resize(frame, (120, 120))).save(planes / "brain" / "P3_again.jpg", quality=80)


def twice(planes: Path) -> None:
    save(planes / "brain" / "P1_again.png", picture(planes, 1))


def two_labels(planes: Path) -> None:
    save(planes / "femur" / "P1_brain.png", picture(planes, 1))


def constant(planes: Path) -> None:
    save(planes / "brain" / "P1_empty.png", np.full((40, 40), 7, np.uint8))


def truncated(planes: Path) -> None:
    path = planes / "brain" / "P1.png"
    path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (copied, {"identical across patients": 1}),
        (brightened, {"near duplicates across patients": 1}),
        (twice, {"identical within a patient": 1}),
        (two_labels, {"labels disagree": 1, "identical within a patient": 1}),
        (constant, {"constant images": 1}),
        (truncated, {"unreadable images": 1}),
        (lambda planes: save(planes / "P9.png", GRAY["brain"].images[0] // 2), {"rows or files left out": 1}),
    ],
    ids=["copied", "brightened", "twice", "two labels", "constant", "truncated", "in no class"],
)
def test_what_is_planted_is_found(planes: Path, plant: Callable[[Path], object], expected: dict[str, int]) -> None:
    plant(planes)
    found = check_folder(planes, PATTERN)
    assert not found.clean
    assert kinds(found) == expected
    assert json.loads(json.dumps(found.to_json()))["clean"] is False


# --- HC18 and its masks


def heads(folder: Path, *, sizes: tuple[object, ...] = (0.5, 0.5, 0.5), hc_mm: float = 0.0) -> Path:
    drawn = draw("brain", range(3), site="A", size_px=128, seed=2)
    lines = ["filename,pixel size(mm),head circumference (mm)"]
    for number, size in enumerate(sizes):
        true = float(drawn.hc_mm[number] / drawn.pixel_size_mm[number]) * 0.5
        lines.append(f"{number:03d}_HC.png,{size},{hc_mm or true}")
        save(folder / "training_set" / f"{number:03d}_HC.png", drawn.images[number])
        save(folder / "training_set" / f"{number:03d}_HC_Mask.png", drawn.masks[number] * 255)
    (folder / "training_set_pixel_size_and_HC.csv").write_text("\n".join(lines))
    return folder


def test_heads_whose_listed_and_drawn_circumference_agree_are_clean(tmp_path: Path) -> None:
    found = check_folder(heads(tmp_path))
    assert found.clean
    assert found.counts["mask"] == {"with": 3}


def test_a_wrong_pixel_size_shows_in_the_circumference(tmp_path: Path) -> None:
    found = kinds(check_folder(heads(tmp_path, sizes=(0.5, 0.5, 0.7))))
    assert found == {"circumferences that do not fit": 1}
    far = kinds(check_folder(heads(tmp_path / "far", sizes=(0.5, 0.5, 0.04))))
    assert far == {"circumferences that do not fit": 1, "odd pixel sizes": 1, "odd fields of view": 1}


def test_masks_with_specks_other_classes_or_nothing(planes: Path) -> None:
    for number, mask in enumerate(GRAY["brain"].masks):
        save(planes / "brain" / f"P{number}_mask.png", mask)
    masked = PATTERN | {"mask_suffix": "_mask"}
    assert check_folder(planes, masked).clean
    speck, other = GRAY["brain"].masks[1].copy(), GRAY["brain"].masks[2].copy()
    speck[2:5, 2:5] = 1
    other[other == 1] = 2
    save(planes / "brain" / "P1_mask.png", speck)
    save(planes / "brain" / "P2_mask.png", other)
    save(planes / "brain" / "P3_mask.png", np.zeros_like(other))
    expected = {"masks in several parts": 1, "odd mask classes": 1, "unreadable images": 1}
    assert kinds(check_folder(planes, masked)) == expected


# --- splits


def image_folder(folder: Path, rows: list[dict[str, str]]) -> Path:
    for number, row in enumerate(rows):
        save(folder / row["split"] / f"{number}.png", GRAY["brain"].images[int(row.pop("shows", number))])
        line = {"file_name": f"{number}.png", "plane": "brain", "patient": row["patient"]}
        with (folder / row["split"] / "metadata.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
    return folder


def test_what_crosses_published_splits_comes_first(tmp_path: Path) -> None:
    rows = [
        {"split": "train", "patient": "1"},
        {"split": "train", "patient": "2"},
        {"split": "test", "patient": "2"},
        {"split": "test", "patient": "3", "shows": "0"},
        {"split": "test", "patient": "4"},
    ]
    found = check_folder(image_folder(tmp_path, rows))
    assert kinds(found) == {"patients in two splits": 1, "identical across splits": 1}
    assert [f.severity for f in found.findings][:2] == ["leak", "leak"]


def test_twins_within_one_split_are_a_note_only(tmp_path: Path) -> None:
    rows = [
        {"split": "train", "patient": "1"},
        {"split": "train", "patient": "2", "shows": "0"},
        {"split": "test", "patient": "3"},
    ]
    found = check_folder(image_folder(tmp_path, rows))
    assert found.clean
    assert {f.kind for f in found.findings} == {"identical across patients"}


# --- layouts


def test_layouts_are_recognised_and_strangers_are_refused(planes: Path, tmp_path: Path) -> None:
    assert detect_layout(planes) == ("class_folders", planes)
    assert detect_layout(planes.parent) == ("class_folders", planes)
    assert detect_layout(heads(tmp_path / "hc18"))[0] == "hc18"
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"empty: unknown layout \(known: imagefolder, .*one folder per class"):
        detect_layout(tmp_path / "empty")
    with pytest.raises(SourceError, match="gone: no such folder"):
        detect_layout(tmp_path / "gone")
    with pytest.raises(SourceError, match="gone: no such folder"):
        curate_config(tmp_path / "gone", {"kind": "hc18"})


def test_values_go_to_the_set_or_to_its_source(planes: Path) -> None:
    config, root = curate_config(planes, {"fit": "native", "patient_pattern": "P(.)", "role": "test"})
    assert root == planes.parent
    assert config.fit == "native"
    assert (config.sources[0].kind, config.sources[0].role) == ("class_folders", "test")
    with pytest.raises(ConfigError, match=r"patient_patern: unknown key; did you mean 'patient_pattern'"):
        curate_config(planes, {"patient_patern": "x"})


# --- the real folders


@pytest.mark.slow
@pytest.mark.real_data
def test_it_finds_what_is_known_of_the_real_data(data_root: Path) -> None:
    african, hc18 = check_folder(data_root / "african"), check_folder(data_root / "hc18")
    assert kinds(african)["identical across patients"] == 16
    assert any(
        "patient007_DZA_plane2" in line and "patient034_DZA_plane2" in line for line in african.findings[0].examples
    )
    assert {f.kind for f in african.findings if f.severity == "note"} >= {
        "size tells the site",
        "planes missing at a site",
    }
    assert (african.n_images, african.n_patients) == (217, 61)
    assert (hc18.n_images, hc18.counts["pixel size"], hc18.counts["mask"]) == (296, {"known": 296}, {"with": 296})
    assert kinds(hc18) == {"identical within a patient": 1}
    assert next(f.examples for f in hc18.findings if f.kind == "identical within a patient")[0].count("392_") == 2
    psfhs, spanish = check_folder(data_root / "psfhs"), check_folder(data_root / "fetal_planes_lora")
    assert kinds(psfhs)["near duplicates across patients"] > 100
    assert kinds(spanish) == {"rows without files": 20}
    assert spanish.counts["plane"] == dict.fromkeys(("abdomen", "brain", "femur", "thorax", "other"), 20)


@pytest.mark.real_data
def test_lists_without_images(data_root: Path) -> None:
    lists, planes_db = check_folder(data_root / "fu_lora_lists"), check_folder(data_root / "fetal_planes_db")
    assert sorted(lists.counts["list"].values()) == [230, 1150, 5000, 6148]
    assert planes_db.n_images == 12400
    assert planes_db.n_patients == 1792
    assert planes_db.counts["planes of FETAL_PLANES_DB_data.xlsx"]["cervix"] == 1626
    assert lists.clean
    assert planes_db.clean


def test_lists_that_contradict_each_other(tmp_path: Path) -> None:
    (tmp_path / "all_train_no_cer.csv").write_text(
        "Image_name,Patient_num,Plane,Train \n"
        "Patient00001_Plane1_1_of_2,1,Other,1\nPatient00001_Plane1_2_of_2,1,Other,0\n"
    )
    (tmp_path / "spain_other_train.csv").write_text("Image_name,Plane\nPatient00001_Plane1_1_of_2,2\n")
    found = check_folder(tmp_path)
    assert kinds(found) == {"patients in two splits": 1, "labels disagree": 1}
    assert [f.examples for f in found.findings if f.kind == "labels disagree"] == [
        ("Patient00001_Plane1_1_of_2: brain and other",)
    ]


@pytest.mark.real_data
def test_near_pairs_of_neighbouring_frames_and_not_of_strangers(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fulora.intake.sources.psfhs import PsfhsConfig

    facts = list(read_image_facts(PsfhsConfig(block=20).read(SourceInputs(data_root / "psfhs"))))[:60]
    likenesses = [found.likeness for found in facts]
    pairs = near_pairs(likenesses)
    apart = {abs(int(facts[a].image.name) - int(facts[b].image.name)) for a, b, _ in pairs}
    assert 1 in apart
    assert all(a < b and alike >= 0.95 for a, b, alike in pairs)
    monkeypatch.setattr(near_duplicates, "AT_ONCE", 420)
    assert pairs == near_pairs(likenesses)
