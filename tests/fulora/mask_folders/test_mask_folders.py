"""Folders of masks measured and scored from Python."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.biometry.ellipse import Ellipse, ellipse_mask, perimeter
from fulora.mask_folders.measure import measure_angles, measure_heads, write_measurements
from fulora.mask_folders.score import score_masks

HEAD = Ellipse(100.0, 80.0, 60.0, 48.0, 20.0)


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    for folder, grow in (("reference", 0), ("close", 1), ("far", 6)):
        for patient in (1, 2, 3):
            mask = ellipse_mask(Ellipse(100.0, 80.0, HEAD.a + grow, HEAD.b + grow, 20.0), (160, 200))
            (tmp_path / folder).mkdir(exist_ok=True)
            Pil.fromarray(mask.astype(np.uint8)).save(tmp_path / folder / f"{patient}_HC.png")
    lines = [f"{patient}_HC.png,0.5,{0.5 * perimeter(HEAD.a, HEAD.b):.3f}" for patient in (1, 2, 3)]
    (tmp_path / "sizes.csv").write_text("\n".join(["filename,pixel size(mm),head circumference (mm)", *lines]) + "\n")
    return tmp_path


def test_heads_are_measured_and_compared_with_the_list(heads: Path) -> None:
    measured = measure_heads(heads / "close", heads / "sizes.csv")
    expected = 0.5 * (perimeter(HEAD.a + 1, HEAD.b + 1) - perimeter(HEAD.a, HEAD.b))
    assert [row.failure for row in measured.rows] == [""] * 3
    assert measured.agreement is not None
    assert measured.agreement.bias == pytest.approx(expected, abs=0.5)
    write_measurements(heads / "hc.csv", measured.rows)
    assert (heads / "hc.csv").read_text().startswith("file_name,hc_mm,")


def test_angles_need_two_classes(heads: Path) -> None:
    with pytest.raises(ValueError, match="two different class numbers"):
        measure_angles(heads / "close", symphysis=1, head=1)
    assert [row.failure for row in measure_angles(heads / "close")] == ["empty_mask"] * 3


def test_predictions_are_ranked(heads: Path) -> None:
    folders = [heads / "far", heads / "close"]
    scores = score_masks(heads / "reference", folders, "hc18", pixel_sizes=heads / "sizes.csv", draws=100)
    assert scores.rankings is not None
    ranking, _ = scores.rankings["adf"]["aggregate_then_rank"]
    assert ranking.ranks == (2.0, 1.0)
    assert [case["case"] for case in scores.to_json()["per_case"]["far"]] == ["1_HC", "2_HC", "3_HC"]
    assert scores.facts["predictions"]["far"]["metrics"]["adf"]["unit"] == "mm"
    alone = score_masks(heads / "reference", folders[:1], "plain", draws=100)
    assert (alone.rankings, alone.facts["unit"]) == (None, "px")
