"""`notebooks/nine_commands.ipynb`: short, without outputs, and every cell runs as it is on folders of images."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "nine_commands.ipynb"
SHORT = "lora_steps, count, clip_steps, classifier_steps, draws = 2, {count}, 2, 2, 100"
OWN = """
ours, theirs, prompts = "ours", "theirs", "liver=a scan of a liver; spleen=a scan of a spleen"
split, tested = ({"role": role, "patient_pattern": "(P[0-9]+)"} for role in ("train+validation", "test"))
"""


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def code() -> list[str]:
    return ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code"]


def run(folder: Path, setting: str) -> str:
    """Run the notebook in a folder, with one more cell after the first one that changes its values; return outputs."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    first = next(place for place, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code")
    changed = {**notebook["cells"][first], "id": "values-of-the-test", "source": setting}
    notebook["cells"].insert(first + 1, changed)
    (folder / "run.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    words = ("-m", "pytest", "--nbmake", "--overwrite", str(folder / "run.ipynb"), "-p", "no:cacheprovider")
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": search}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "run.ipynb").read_text(encoding="utf-8")


def test_it_has_at_most_25_lines_of_code_and_needs_one_import() -> None:
    lines = [line for source in code() for line in source.splitlines() if line.strip()]
    assert 9 < len(lines) <= 25
    assert max(map(len, lines)) <= 120
    trees = [ast.parse(source) for source in code()]
    imports = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import fulora as fu"]


def test_it_is_kept_without_outputs() -> None:
    assert not [cell for cell in cells() if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.slow
def test_it_runs_on_class_folders(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for folder, patients in (("ours", range(10)), ("theirs", range(20, 24))):
        for number, name in enumerate(("liver", "spleen")):
            (tmp_path / folder / name).mkdir(parents=True)
            for patient in patients:
                pixels = random.integers(0, 100, (64, 64)) + 100 * number
                Pil.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / name / f"P{patient}_{name}.png")
    shown = run(tmp_path, OWN + SHORT.format(count=10))
    predicted = (tmp_path / "predictions" / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert len(predicted) == 1 + 8
    assert {path.stem for path in (tmp_path / "zero_shot" / "predictions").glob("*.csv")} == {
        "demo, prompts",
        "tuned, prompts",
    }
    assert "8 images of 4 patients, split test" in shown
    assert shown.count("image/png") == 3


@pytest.mark.slow
@pytest.mark.real_data
def test_it_runs_on_the_real_images_as_it_is(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(data_root)
    shown = run(tmp_path, SHORT.format(count=16))
    assert "217 images of 61 patients, split test" in shown
    assert "61 patients are 56 in intervals and tests" in shown
