"""What `fulora measure` and `fulora score segmentation` say of masks that are read, and of which something is odd."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from command_inside import called
from PIL import Image as Pil

from fulora.biometry.ellipse import Ellipse, ellipse_mask

HEAD = ellipse_mask(Ellipse(100.0, 80.0, 60.0, 48.0, 20.0), (160, 200)).astype(np.uint8)
SYMPHYSIS = ellipse_mask(Ellipse(40.0, 30.0, 20.0, 9.0, 35.0), (160, 200)) & (HEAD == 0)
SCENE = np.where(SYMPHYSIS, 1, 2 * HEAD).astype(np.uint8)


def save(path: Path, labels: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Pil.fromarray(labels).save(path)
    else:
        image = SimpleITK.GetImageFromArray(labels)
        image.SetSpacing(spacing)
        SimpleITK.WriteImage(image, str(path))
    return path


def sizes(folder: Path, text: str = "filename,pixel size(mm)\na.png,0.5\nb.png,0.5\n") -> Path:
    (folder / "sizes.csv").write_text(text)
    return folder / "sizes.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("ending", ["mha", "nii.gz"])
def test_a_spacing_that_contradicts_the_list_is_a_warning(tmp_path: Path, ending: str) -> None:
    save(tmp_path / "m" / f"a.{ending}", HEAD, (0.35, 0.35))
    save(tmp_path / "m" / f"b.{ending}", HEAD, (0.5, 0.501))
    out = tmp_path / "out.csv"
    ended = called("measure", "hc", tmp_path / "m", "--pixel-sizes", sizes(tmp_path), "--out", out)
    assert ended.code == 0, ended.stderr
    said = "0.35 x 0.35 mm per pixel in the file, 0.5 x 0.5 in the list; the list is used"
    first, second = rows_of(out)
    assert (first["warnings"], first["detail"]) == ("file_spacing", said)
    assert first["hc_mm"] == second["hc_mm"]
    assert second["warnings"] == ""
    assert f"1 of 2 masks state a pixel spacing that contradicts what they are measured with, such as a.{ending}" in (
        ended.stderr
    )
    assert said in ended.stderr
    resized = sizes(tmp_path, "filename,pixel size(mm),width,height\na.png,0.175,400,320\nb.png,0.25,400,320\n")
    assert called("measure", "hc", tmp_path / "m", "--pixel-sizes", resized, "--out", out).code == 0
    assert [row["warnings"] for row in rows_of(out)] == ["", ""]


def test_an_angle_of_pixels_that_are_not_square_is_a_warning(tmp_path: Path) -> None:
    save(tmp_path / "m" / "a.mha", SCENE, (0.2, 0.4))
    out = tmp_path / "out.csv"
    ended = called("measure", "aop", tmp_path / "m", "--out", out)
    assert "file_spacing" in rows_of(out)[0]["warnings"]
    assert "0.2 x 0.4 mm per pixel in the file is not used: width / height of a pixel is taken as 1" in (ended.stderr)
    ended = called("measure", "aop", tmp_path / "m", "--out", out, "--original-size", "200x320")
    assert "file_spacing" not in rows_of(out)[0]["warnings"]


def test_nothing_measured_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.png").write_bytes(b"no picture")
    for command in (("hc", "--pixel-sizes", str(sizes(tmp_path))), ("aop",)):
        out = tmp_path / f"{command[0]}.csv"
        ended = called("measure", command[0], tmp_path / "m", *command[1:], "--out", out)
        assert ended.code == 1
        assert "0 of 1 masks measured" in ended.stdout
        assert rows_of(out)[0]["failure"] == "unreadable"


def test_bad_references_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    save(tmp_path / "m" / "a.png", HEAD)
    text = "filename,pixel size(mm),head circumference (mm)\na.png,0.5,x\n"
    out = tmp_path / "out.csv"
    ended = called("measure", "hc", tmp_path / "m", "--pixel-sizes", sizes(tmp_path, text), "--out", out)
    assert ended.code == 2
    assert "head circumference (mm) is 'x'" in ended.stderr
    assert not out.exists()


def score(folder: Path, *options: object) -> tuple[dict[str, object], str]:
    """The figures and what was printed."""
    command = ("score", "segmentation", "--reference", folder / "gt", "--prediction", folder / "pred")
    command = (*command, "--protocol", "plain", "--draws", 100, "--json", folder / "facts.json", *options)
    ended = called(*map(str, command))
    assert ended.code == 0, ended.stderr
    return json.loads((folder / "facts.json").read_text()), ended.stdout + ended.stderr


def test_a_class_without_references_is_noted(tmp_path: Path) -> None:
    for name, invented in (("a", 3), ("b", 7), ("c", 0)):
        labels = SCENE.copy()
        labels[:9, 60:90] = invented
        labels[:9, 100:110] = 3 if invented else 0
        save(tmp_path / "gt" / f"{name}.png", SCENE)
        save(tmp_path / "pred" / f"{name}.png", labels)
    facts, said = score(tmp_path)
    assert facts["predictions"]["pred"]["invented"] == {"masks": 2, "classes": {"3": 2, "7": 1}}
    assert [case["invented"] for case in facts["per_case"]["pred"]] == [[3], [3, 7], []]
    assert "2 predictions hold classes that no reference has, which are not scored: class 3 in 2, 7 in 1" in said
    for name in "abc":
        save(tmp_path / "pred" / f"{name}.png", SCENE)
    facts, said = score(tmp_path)
    assert "invented" not in facts["predictions"]["pred"]
    assert "no reference has" not in said


def test_spacings_of_scored_masks_are_noted(tmp_path: Path) -> None:
    save(tmp_path / "gt" / "a.png", SCENE)
    save(tmp_path / "pred" / "a.nii.gz", SCENE, (0.3, 0.3))
    facts, said = score(tmp_path)
    assert "1 masks state a pixel spacing" in said
    assert "0.3 x 0.3 mm; it is not used: distances are in pixels" in said
    facts, said = score(tmp_path, "--pixel-sizes", sizes(tmp_path))
    assert "a.nii.gz: 0.3 x 0.3 mm per pixel in the file, 0.5 x 0.5 in the list" in facts["file_spacings"][0]
    assert "1 cases have files that state another pixel spacing, such as a: " in said
    facts, said = score(tmp_path, "--pixel-sizes", sizes(tmp_path, "filename,pixel size(mm)\na.png,0.3\n"))
    assert "file_spacings" not in facts
    assert "pixel spacing" not in said


def test_contradicting_palettes_and_scales_end_the_call(tmp_path: Path) -> None:
    for name, labels in (("gt", SCENE), ("pred", np.array([0, 2, 1], np.uint8)[SCENE])):
        image = Pil.fromarray(labels).convert("P")
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] if name == "gt" else [0, 0, 0, 0, 255, 0, 255, 0, 0])
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "a.png")
    command = ("score", "segmentation", "--reference", tmp_path / "gt", "--prediction", tmp_path / "pred")
    for protocol in ("plain", "psfhs"):
        ended = called(*command, "--protocol", protocol)
        assert ended.code == 2
        assert "their palettes contradict each other (1 is #ff0000, 2 is #00ff00, and 1 is #00ff00" in ended.stderr
    save(tmp_path / "gt" / "a.png", np.array([0, 127, 255], np.uint8)[SCENE])
    save(tmp_path / "pred" / "a.png", np.array([0, 85, 170], np.uint8)[SCENE])
    ended = called(*command, "--protocol", "plain")
    assert ended.code == 2
    assert "two scales" in ended.stderr
    facts, _ = score(tmp_path, "--values", "127=1,255=2,85=1,170=2")
    assert facts["predictions"]["pred"]["metrics"]["dice 1"]["mean"] == 1
