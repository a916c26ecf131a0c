"""Case 18: HC18 as published, images and masks in one folder, segmented and scored."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fulora.data.label_set import label_set
from pipelines.__main__ import app

pytestmark = [pytest.mark.real_data, pytest.mark.heavy]


def test_masks_beside_images_are_not_segmented(tmp_path: Path, make_case: Callable[..., None]) -> None:
    make_case("18-segment-folder", tmp_path)
    label_set("fetal_planes").only(["brain"]).write(tmp_path / "net")
    found = {}
    for kind in ("images_only", "hc18_as_published", "mac"):
        out = tmp_path / "out" / kind
        options = ["--unet", str(tmp_path / "net"), "--out", str(out), "--device", "cpu"]
        ended = CliRunner().invoke(app, ["segment", "predict", str(tmp_path / kind), *options])
        assert ended.exit_code == 0, ended.exception
        found[kind] = {path.name: path.read_bytes() for path in out.rglob("*.png")}
        assert ("12 files named as masks skipped" in ended.stderr) == (kind == "hc18_as_published")
    assert len(found["images_only"]) == 12
    assert found["hc18_as_published"] == found["mac"] == found["images_only"]
    scores = []
    for reference in ("reference", "hc18_as_published"):
        folders = [
            "--reference",
            str(tmp_path / reference),
            "--prediction",
            str(tmp_path / "out" / "hc18_as_published"),
        ]
        options = ["--protocol", "hc18", "--pixel-sizes", str(tmp_path / "sizes.csv"), "--draws", "100"]
        out = tmp_path / "scores.json"
        ended = CliRunner().invoke(app, ["score", "segmentation", *folders, *options, "--json", str(out)])
        assert ended.exit_code == 0, ended.exception
        scores.append(json.loads(out.read_text())["predictions"])
    assert scores[0] == scores[1]
    assert scores[0]["hc18_as_published"]["not_scored"] == 0
