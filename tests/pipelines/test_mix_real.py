"""Real planes mixed with generated ones: the commands that a user types, on real images."""

import shutil
from pathlib import Path

import pytest
from command_inside import QUICK, called

import fulora as fu
from fulora.intake.check.check_folder import check_folder

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

CURATION = (
    *("images.patient_pattern=Patient(\\d+)", "images.role=train+validation+test"),
    "images.label_set=fetal_planes",
)
EACH = 4


def some_planes(published: Path, folder: Path) -> Path:
    """A few images of each plane in class folders, as users put them together."""
    for plane in sorted(path for path in published.iterdir() if path.is_dir()):
        for file in sorted(plane.glob("*.png"))[::5][:EACH]:
            (folder / plane.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / plane.name)
    return folder


def test_spanish_planes_and_generated_ones(tmp_path: Path, data_root: Path) -> None:
    synthetic, hybrid = tmp_path / "synthetic", tmp_path / "hybrid"
    made = called("generate", "--labels", "fetal_planes", "--count", "4", "--out", synthetic, *QUICK)
    assert made.code == 0, made.stderr
    planes = some_planes(data_root / "fetal_planes_lora", tmp_path / "planes")
    options = ("--ratio", "0.5", "--out", hybrid, "--work", tmp_path / "work")
    forecast = called("mix", planes, synthetic, *CURATION, *options, "--dry-run")
    assert forecast.code == 0, forecast.stderr
    assert not hybrid.exists()
    mixed = called("mix", planes, synthetic, *CURATION, *options)
    assert mixed.code == 0, mixed.stderr
    images = fu.read_images(hybrid)
    total = images.table.rows[-1]
    assert sum(int(total[part] or 0) for part in images.table.columns if "real" in part) == 20
    assert 0.4 < int(total["train, synthetic"] or 0) / int(total["train, real"] or 0) < 0.6
    check = check_folder(hybrid)
    assert check.clean, check.findings
    assert set(images.to_datasets()) == {"train", "validation", "test"}
