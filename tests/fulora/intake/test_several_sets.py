"""A folder that holds several data sets: each is checked, and what they share is found."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from fulora.config import ConfigError
from fulora.data.patient_numbers import note_different_patients
from fulora.intake.check.check_folder import check_folder
from fulora.intake.check.find_data_sets import find_data_sets
from fulora.intake.check.findings import Check
from fulora.intake.phantoms.scan import draw
from fulora.intake.raw_image import SourceError

DRAWN = draw("brain", range(8), site="A", size_px=96, seed=9).images
PATTERN = {"patient_pattern": r"P(\d+)"}


def african(folder: Path, patients: dict[int, np.ndarray], center: str = "Ghana") -> Path:
    folder.mkdir(parents=True)
    rows = ["Patient_num,Plane,Center,Image_name"]
    for number, picture in patients.items():
        Pil.fromarray(picture).save(folder / f"{center}_{number}.png")
        rows.append(f"{number},Fetal brain,{center},{center}_{number}")
    (folder / "list.csv").write_text("\n".join(rows))
    return folder


def own(folder: Path, patients: dict[int, np.ndarray]) -> Path:
    (folder / "brain").mkdir(parents=True)
    for number, picture in patients.items():
        Pil.fromarray(picture).save(folder / "brain" / f"P{number}.png")
    return folder


def image_folder(folder: Path, site: str, patients: dict[int, np.ndarray]) -> Path:
    folder.mkdir(parents=True)
    lines = []
    for number, picture in patients.items():
        Pil.fromarray(picture).save(folder / f"{number}.png")
        lines.append(json.dumps({"file_name": f"{number}.png", "plane": "brain", "patient": str(number), "site": site}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def kinds(found: Check) -> dict[str, int]:
    return {finding.kind: finding.count for finding in found.findings}


def brightened(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(np.clip(picture[1:, 1:] * 1.1, 0, 255).astype(np.uint8), (120, 120))


def test_each_set_and_what_they_share(tmp_path: Path) -> None:
    african(tmp_path / "a", {1: DRAWN[1], 2: DRAWN[2], 3: DRAWN[3]})
    african(tmp_path / "deep" / "b", {3: DRAWN[4], 4: DRAWN[1], 5: brightened(DRAWN[2])})
    own(tmp_path / "mine", {1: DRAWN[5], 9: DRAWN[6]})
    (tmp_path / "papers").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    (tmp_path / "__MACOSX").mkdir()
    found = check_folder(tmp_path, PATTERN)
    assert {name: (check.kind, check.n_images) for name, check in found.sets.items()} == {
        "a": ("african_planes", 3),
        "deep/b": ("african_planes", 3),
        "mine": ("class_folders", 2),
    }
    assert all(check.clean for check in found.sets.values())
    assert kinds(found) == {
        "identical across sets": 1,
        "near duplicates across sets": 1,
        "patients in two sets": 1,
        "folders without a set": 2,
    }
    assert found.findings[0].examples == ("a/Ghana_1 (Ghana 1 brain) = deep/b/Ghana_4 (Ghana 4 brain)",)
    assert found.findings[1].examples[0].startswith("a/Ghana_2 (Ghana 2 brain) ~ deep/b/Ghana_5 (Ghana 5 brain), corr")
    assert found.findings[2].examples == ("african_planes/Ghana/3: a and deep/b",)
    assert found.findings[3].examples == ("linked", "papers")
    assert (found.n_images, found.n_patients, found.clean) == (8, 7, False)
    assert json.loads(json.dumps(found.to_json()))["sets"]["mine"]["n_images"] == 2


def test_sets_that_share_nothing_are_clean_unless_one_is_not(tmp_path: Path) -> None:
    african(tmp_path / "a", {1: DRAWN[1]})
    african(tmp_path / "b", {2: DRAWN[2]})
    assert check_folder(tmp_path).clean
    african(tmp_path / "c", {3: DRAWN[3], 4: DRAWN[3]})
    found = check_folder(tmp_path)
    assert (found.findings, found.clean) == ((), False)


def test_one_folder_with_a_train_and_a_test_half_of_ones_own(tmp_path: Path) -> None:
    own(tmp_path / "train", {1: DRAWN[1], 2: DRAWN[2]})
    own(tmp_path / "test", {2: DRAWN[3], 3: DRAWN[4]})
    assert kinds(check_folder(tmp_path, PATTERN)) == {"patients in two sets": 1}
    with pytest.raises(SourceError, match="patients are unknown"):
        check_folder(tmp_path)


@pytest.mark.parametrize("together", [True, False])
def test_one_number_at_two_sites_is_found_in_a_set_and_across_sets(tmp_path: Path, together: bool) -> None:
    first, second = {7: DRAWN[1], 8: DRAWN[2]}, {7: DRAWN[3], 9: DRAWN[4]}
    image_folder(tmp_path / "a", "A", first)
    image_folder(tmp_path / "b", "B", second)
    if together:
        rows = []
        for name in "ab":
            for line in (tmp_path / name / "metadata.jsonl").read_text().splitlines():
                row = json.loads(line)
                rows.append(json.dumps(row | {"file_name": f"{name}/{row['file_name']}"}))
            (tmp_path / name / "metadata.jsonl").unlink()
        (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    found = check_folder(tmp_path)
    assert (found.sets == {}) is together
    assert kinds(found)["one number under two names"] == 1
    assert (
        "1 patient number occurs under two names: 7 (source 'imagefolder', site 'A'; source"
        in found.findings[0].examples[0]
    )
    assert not found.clean
    assert check_folder(tmp_path, {"same_numbers": "different_patients"}).clean
    if together:
        note_different_patients(tmp_path)
        assert check_folder(tmp_path).clean


def test_what_is_one_set_stays_one(tmp_path: Path) -> None:
    own(tmp_path / "x", {1: DRAWN[1]})
    Pil.fromarray(DRAWN[2]).save(tmp_path / "x" / "brain" / "P2.png")
    assert find_data_sets(tmp_path).folders == (tmp_path,)
    assert find_data_sets(tmp_path / "x").folders == (tmp_path / "x",)
    assert check_folder(tmp_path, PATTERN).n_images == 2
    with pytest.raises(SourceError, match="gone: no such folder"):
        check_folder(tmp_path / "gone")


def test_a_numbered_folder_of_lists_is_no_kohya_folder(tmp_path: Path) -> None:
    african(tmp_path / "1_train", {1: DRAWN[1]})
    african(tmp_path / "2_test", {2: DRAWN[2]})
    assert list(check_folder(tmp_path).sets) == ["1_train", "2_test"]


def test_a_setting_that_no_set_knows(tmp_path: Path) -> None:
    african(tmp_path / "a", {1: DRAWN[1]})
    african(tmp_path / "b", {2: DRAWN[2]})
    with pytest.raises(ConfigError, match="none of its data sets has a setting patient_patern"):
        check_folder(tmp_path, {"patient_patern": "x"})


@pytest.mark.real_data
def test_two_halves_of_the_african_planes(data_root: Path, tmp_path: Path) -> None:
    """Women of odd and even numbers: the five who have two numbers have one of each."""
    folder = data_root / "african" / "african_train"
    with (folder / "African_train.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for name, odd in (("even", 0), ("odd", 1)):
        (tmp_path / name).mkdir()
        mine = [row for row in rows if int(row["Patient_num"]) % 2 == odd]
        with (tmp_path / name / "list.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(mine)
        for row in mine:
            shutil.copy(folder / f"{row['Image_name']}.png", tmp_path / name)
    found = check_folder(tmp_path)
    assert kinds(found) == {"identical across sets": 16, "near duplicates across sets": 4}
    assert {name: (check.n_images, check.clean) for name, check in found.sets.items()} == {
        "even": (128, True),
        "odd": (89, True),
    }


@pytest.mark.real_data
def test_the_whole_folder_of_real_data(data_root: Path) -> None:
    names = {path.relative_to(data_root).as_posix() for path in find_data_sets(data_root).folders}
    expected = {"african/african_train", "fetal_planes_db", "fetal_planes_lora", "fu_lora_lists", "hc18", "psfhs"}
    assert names == expected
