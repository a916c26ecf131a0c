"""Case 08: masks saved as shades 0, 127, 255, where one structure is absent in some files."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.__main__ import app

pytestmark = pytest.mark.real_data
KINDS = ("classes", "shades")


def test_shades_give_what_class_numbers_give(tmp_path: Path, make_case: Callable[..., None]) -> None:
    make_case("08-masks-0-127-255", tmp_path)

    def scored(reference: str, prediction: str) -> dict[str, dict[str, float]]:
        folders = ["--reference", str(tmp_path / reference), "--prediction", str(tmp_path / prediction)]
        options = ["--protocol", "plain", "--draws", "100", "--json", str(tmp_path / "scores.json")]
        ended = CliRunner().invoke(app, ["score", "segmentation", *folders, *options])
        assert ended.exit_code == 0, ended.exception
        (found,) = json.loads((tmp_path / "scores.json").read_text())["predictions"].values()
        return {"dice": {name: row["mean"] for name, row in found["metrics"].items()}, "failures": found["failures"]}

    for prediction in ("pred", "pred_missing_ps"):
        expected = scored("classes/ref", f"classes/{prediction}")
        for one in KINDS:
            for other in KINDS:
                assert scored(f"{one}/ref", f"{other}/{prediction}") == expected
    assert expected["dice"]["dice 2"] == 1
    assert expected["failures"] == {"class_1_missing": 3}
    tables = []
    for kind in KINDS:
        out = tmp_path / f"{kind}.csv"
        ended = CliRunner().invoke(app, ["measure", "aop", str(tmp_path / kind / "ref"), "--out", str(out)])
        assert ended.exit_code == 0, ended.exception
        with out.open() as file:
            tables.append(list(csv.DictReader(file)))
    assert tables[0] == tables[1]
    assert sum(not row["failure"] for row in tables[0]) == 15
