"""`fulora show` of image sets: curated, mixed and generated ones, with or without a stage's record."""

import json
from pathlib import Path

import pytest
from command_inside import QUICK, called
from small_sets import real_set, synthetic_set

import fulora as fu

ROW = ["brain", "3", "3", "1", "1"]


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_mixed_set_has_its_record_its_images_and_what_was_rejected(tmp_path: Path) -> None:
    real, synthetic = real_set(tmp_path / "real"), synthetic_set(tmp_path / "synthetic")
    made = fu.mix(real, synthetic, out=tmp_path / "hybrid", work=tmp_path / "work")
    shown = called("show", made.path)
    assert shown.code == 0
    assert "stage mix_with_test" in shown.stdout
    assert ROW in words(shown.stdout)
    assert "added (hybrid): brain 3, femur 3\nrejected: none" in shown.stdout
    assert json.loads(called("show", made.path, "--json").stdout)["stage"] == "mix_with_test"


def test_a_set_without_a_record_is_shown_by_its_images(tmp_path: Path) -> None:
    real = real_set(tmp_path / "real")
    shown = called("show", real)
    assert shown.code == 0
    assert shown.stdout.startswith(f"10 images in {real}\n")
    assert "patients: train 6, validation 2, test 2" in shown.stdout


@pytest.mark.slow
def test_a_generated_set_is_shown_with_its_weights_and_checked(tmp_path: Path) -> None:
    out = tmp_path / "synthetic"
    made = called(
        "generate", "--plane", "brain", "--plane", "femur", "--count", "2", "--seed", "7", "--out", out, *QUICK
    )
    assert made.code == 0, made.stderr
    shown = called("show", out)
    assert shown.code == 0
    assert ["brain", "2"] in words(shown.stdout)
    assert "backbone: demo (" in shown.stdout
    assert "LoRA: none" in shown.stdout
    assert "seed 7, 2 images of each class" in shown.stdout
    facts = json.loads(called("show", out, "--json").stdout)
    assert facts["rows"] == [
        {"class": "brain", "train, synthetic": 2},
        {"class": "femur", "train, synthetic": 2},
        {"class": "all", "train, synthetic": 4},
    ]
    checked = called("data", "check", out)
    assert checked.code == 0, checked.stdout
    assert "4 images of 0 patients" in checked.stdout
