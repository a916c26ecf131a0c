"""Case 09: the same head masks as picture editors save them: palettes, alpha, 1 and 16 bit, JPEG."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fulora.data.label_set import label_set
from fulora.intake.raw_image import SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.class_folders import ClassFoldersConfig
from pipelines.__main__ import app

CLASSES = label_set("fetal_planes").joined(label_set("intrapartum"))

pytestmark = pytest.mark.real_data
KINDS = (
    "palette_white_first",
    "palette_black_first",
    "transparent",
    "black_alpha",
    "la",
    "one_bit_tiff",
    "jpeg",
    "sixteen",
)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, make_case: Callable[..., None]) -> Path:
    folder = tmp_path_factory.mktemp("case")
    make_case("09-palette-masks", folder)
    return folder


def measured(case: Path, kind: str) -> list[float]:
    out = case / f"{kind}.csv"
    options = ["--pixel-sizes", str(case / "sizes.csv"), "--out", str(out)]
    ended = CliRunner().invoke(app, ["measure", "hc", str(case / kind), *options])
    assert ended.exit_code == 0, ended.exception
    with out.open() as file:
        return [float(row["hc_mm"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_measured_and_scored_as_what_it_shows(case: Path, kind: str) -> None:
    assert measured(case, kind) == measured(case, "gray")
    folders = ["--reference", str(case / "gray"), "--prediction", str(case / kind), "--json", str(case / "scores.json")]
    ended = CliRunner().invoke(app, ["score", "segmentation", *folders, "--protocol", "plain", "--draws", "100"])
    assert ended.exit_code == 0, ended.exception
    facts = json.loads((case / "scores.json").read_text())
    assert facts["predictions"][kind]["metrics"]["dice"]["mean"] == 1
    assert facts["mask_values"]["thresholded"] == (6 if kind == "jpeg" else 0)


def test_heads_that_are_black_on_white_are_refused(case: Path) -> None:
    options = ["--pixel-sizes", str(case / "sizes.csv"), "--out", str(case / "out.csv")]
    ended = CliRunner().invoke(app, ["measure", "hc", str(case / "shape_on_white"), *options])
    assert isinstance(ended.exception, SourceError)
    assert "6 of 6 masks mark all four corners" in str(ended.exception)


def test_quantised_masks_beside_their_images_are_what_they_show(case: Path) -> None:
    folder = case / "class_folder_quantised"
    images = list(
        read_source(
            ClassFoldersConfig(folder="", source="class_folders", patients_unknown=True, mask_suffix="_mask"),
            SourceInputs(folder, labels=CLASSES),
        )
    )
    assert len(images) == 3
    for image in images:
        mask = image.load()[1]
        assert mask is not None
        assert 0.02 < mask.mean() < 0.4
        assert not mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()
