"""Case 17: published sets as macOS zips them, with __MACOSX, ._ files and .DS_Store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fulora.intake.check.check_folder import check_folder
from fulora.intake.config import SourceKind
from fulora.intake.masks.file_names import find_pictures_and_masks

pytestmark = pytest.mark.real_data
SETS: dict[str, tuple[SourceKind, int]] = {
    "hc18": ("hc18", 3),
    "african": ("african_planes", 4),
    "psfhs": ("psfhs", 4),
    "classes": ("class_folders", 4),
}


def test_what_macos_adds_is_passed_over(tmp_path: Path, make_case: Callable[..., None]) -> None:
    make_case("17-macos-zip", tmp_path)
    for name, (kind, count) in SETS.items():
        values = {"patient_pattern": r"Patient(\d+)"} if kind == "class_folders" else {}
        for how in ("zip", "beside"):
            found = check_folder(tmp_path / f"{name}_{how}", values)
            assert (found.kind, found.n_images, found.clean) == (kind, count, True)
    pictures, masks = find_pictures_and_masks(tmp_path / "pictures")
    assert (len(pictures), masks) == (2, [])
