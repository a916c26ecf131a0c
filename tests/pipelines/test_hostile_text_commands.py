"""Commands on files, ids and sites that were named to break terminals, spreadsheets and plots."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import fulora
from PIL import Image as Pil

NAMES = ("[red]x[/red]", "[/]", ":warning:", "$\\frac{$", "<b>", "=1+1", "_a")
CLEAR = "\x1b[2J"


def noise(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(np.random.default_rng(len(path.name)).integers(0, 256, (40, 48)).astype(np.uint8)).save(path)
    return path


def test_a_check_shows_every_name_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "[/] :x:"
    rows = []
    for number, name in enumerate(NAMES):
        noise(folder / f"i{'x' * number}.png")
        rows.append(
            {"file_name": f"i{'x' * number}.png", "plane": "brain", "patient": name, "site": name, "machine": name}
        )
    rows[1]["site"] = f"a{CLEAR}"
    rows.append({"file_name": f"gone [/] {CLEAR}.png", "plane": "brain", "patient": "1"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = fulora("data", "check", folder)
    assert done.returncode == 1  # the row without a file
    assert f"{folder}: imagefolder, 7 images of 7 patients" in done.stdout.replace("\n", "")
    assert all(name in done.stdout for name in NAMES)
    assert "\x1b" not in done.stdout + done.stderr
    assert r"a\x1b[2J" in done.stdout


def test_an_error_shows_the_name_of_a_file_as_it_is(tmp_path: Path) -> None:
    done = fulora("data", "check", tmp_path / f"gone {CLEAR}[/]")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"fulora: {tmp_path}/gone \\x1b[2J[/]: no such folder\n"


def test_scores_of_hostile_sites_and_machines(tmp_path: Path) -> None:
    lines = ["image_id,patient,site,true,predicted,machine"]
    for number in range(28):
        name, true = NAMES[number % 7], ("brain", "femur")[number % 2]
        lines.append(f"i{number},{number // 2},{name},{true},{('brain', 'femur')[number % 3 % 2]},{name}")
    (tmp_path / "p.csv").write_text("\n".join(lines) + "\n")
    command = ("score", "classification", tmp_path / "p.csv", "--draws", "100", "--figure", tmp_path / "p.png")
    done = fulora(*command, "--json", tmp_path / "p.json")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in NAMES)
    assert json.loads((tmp_path / "p.json").read_text())["sites"] == len(NAMES)
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["=1+1", "@SUM(1)", "-2+3", "+1", "=cmd 'x'!A0"])
def test_no_spreadsheet_runs_a_measured_file(tmp_path: Path, name: str) -> None:
    y, x = np.mgrid[:120, :160]
    head = (((x - 80) / 60) ** 2 + ((y - 60) / 45) ** 2 <= 1).astype(np.uint8) * 255
    (tmp_path / "masks").mkdir()
    Pil.fromarray(head).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "sizes.csv").write_text(f"filename;pixel size(mm)\n'{name}.png;0,5\n")
    command = (
        "measure",
        "hc",
        tmp_path / "masks",
        "--pixel-sizes",
        tmp_path / "sizes.csv",
        "--out",
        tmp_path / "hc.csv",
    )
    done = fulora(*command)
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader((tmp_path / "hc.csv").read_text(encoding="utf-8").splitlines())
    assert row["file_name"] == f"'{name}.png"
    perimeter = np.pi * (3 * (60 + 45) - np.sqrt((3 * 60 + 45) * (60 + 3 * 45))) * 0.5  # Ramanujan's first
    assert float(row["hc_mm"]) == pytest.approx(perimeter, rel=0.02)
    assert "sizes.csv: read with decimal commas: pixel_size_mm" in done.stderr
