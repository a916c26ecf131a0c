"""A patient CD: check, curate and deidentify take its two ultrasounds, and name all that they pass over."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from fulora.data.image_set import ImageSet
from pipelines.__main__ import app

pytestmark = pytest.mark.real_data
PASSED = {
    "AUTORUN.INF": "not a DICOM file",
    "DICOMDIR": "a DICOMDIR, which lists files",
    "IM000002": "modality 'OT' (Secondary Capture Image Storage), not ultrasound (US or IVUS)",
    "SR000000": "holds no image (Comprehensive SR Storage)",
    "README.TXT": "not a DICOM file",
    "viewer.exe": "not a DICOM file",
}


def named(lines: list[str]) -> dict[str, str]:
    """File name and reason of each line that tells of a file passed over."""
    parts = [line.strip().split(": passed over: ") for line in lines if ": passed over: " in line]
    return {Path(path).name: why for path, why in parts}


def test_a_patient_cd(make_case: Callable[..., None], tmp_path: Path) -> None:
    make_case("19-cd-export", tmp_path)
    disc, key = tmp_path / "cd", tmp_path / "key.txt"
    key.write_text("0123456789abcdef")
    run = CliRunner().invoke
    given = [str(disc), "plane=brain", f"key_file={key}"]
    checked = run(app, ["data", "check", *given, "--json", "-"])
    found = json.loads(checked.stdout)
    (passed,) = [finding for finding in found["findings"] if finding["kind"] == "files passed over"]
    assert (found["n_images"], passed["severity"], named(passed["examples"])) == (4, "note", PASSED)
    curated = run(app, ["data", "curate", *given, "--work", str(tmp_path / "work")], catch_exceptions=False)
    images = ImageSet(Path(curated.stdout.strip()), "")
    assert len(images.rows()) == 4
    assert named((images.path / "audit" / "left_out.txt").read_text().splitlines()) == PASSED
    written = run(app, ["data", "deidentify", str(disc), "--to", str(tmp_path / "clean"), "--key-file", str(key)])
    assert written.exit_code == 0, written.output
    copies = sorted((tmp_path / "clean").rglob("*.dcm"))
    assert [dcmread(path).get("NumberOfFrames", 1) for path in copies] == [1, 3]
    assert named(written.output.splitlines()) == PASSED
