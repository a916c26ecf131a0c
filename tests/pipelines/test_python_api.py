"""`import fulora as fu`: one function a job, imported when it is used, with results that show themselves."""

import ast
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

import fulora as fu
from fulora.integrity import LIST
from fulora.stage import RECORD

ROOT = Path(__file__).parents[2]


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys, fulora; dir(fulora); print({name.split('.')[0] for name in sys.modules})"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not ast.literal_eval(printed) & {"torch", "numpy", "pydantic", "typer", "pipelines"}


def test_the_stub_names_the_same_functions() -> None:
    stub = ast.parse((ROOT / "fulora" / "__init__.pyi").read_text(encoding="utf-8"))
    named = {
        alias.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert named == fu.JOBS


@pytest.mark.parametrize("name", fu.JOBS)
def test_every_job_is_a_documented_function(name: str) -> None:
    job = getattr(fu, name)
    assert callable(job)
    assert job.__doc__
    assert name in dir(fu)


def test_an_unknown_name_lists_the_jobs() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'genrate'; its jobs are .*generate"):
        fu.genrate  # noqa: B018


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with 3 patients each, as a user has them."""
    folder = tmp_path_factory.mktemp("api") / "planes"
    pixels = np.random.default_rng(0)
    for plane in ("brain", "abdomen"):
        (folder / plane).mkdir(parents=True)
        for patient in range(3):
            gray = pixels.integers(0, 255, (64, 64)).astype(np.uint8)
            Pil.fromarray(gray).save(folder / plane / f"P{patient}{plane}.png")
    return folder


SETTINGS = {"patient_pattern": r"(P\d)", "role": "train"}


def test_a_folder_is_read_and_shows_itself(planes: Path, tmp_path: Path) -> None:
    images = fu.read_images(planes, SETTINGS, work=tmp_path / "work")
    assert (images.path / RECORD).is_file()
    assert images.table.rows == [
        {"class": "abdomen", "train, real": 3},
        {"class": "brain", "train, real": 3},
        {"class": "all", "train, real": 6},
    ]
    assert images.table.notes == ("patients: train 3",)
    assert images._repr_html_().count("<tr>") == 4
    assert images.to_pandas()["plane"].tolist() == [row.plane for row in images.artifact.rows()]
    assert images.figure().size[1] > images.artifact.rows()[0].height
    assert images.to_datasets()["train"].num_rows == 6
    assert fu.read_images(images.path).path == images.path  # an image set stays where it is


@pytest.mark.slow
def test_a_lora_is_trained_and_images_are_generated(planes: Path, tmp_path: Path) -> None:
    settings = {"rank": 2, "steps": 2, "batch_size": 2, "text_encoder_learning_rate": 0, "log_every": 1}
    lora = fu.train_lora(planes, tmp_path / "lora", settings=settings, curation=SETTINGS, work=tmp_path / "work")
    assert (lora.path / "lora.safetensors").is_file()
    assert len(lora.to_pandas()) == 2
    assert "loss" in {row["logged"] for row in lora.table.rows}
    assert lora.figure().size[0] > 100
    synthetic = fu.generate(tmp_path / "synthetic", count=2, lora=[lora.path], settings={"steps": 2})
    assert (synthetic.path / LIST).is_file()
    assert synthetic.table.rows[-1] == {"class": "all", "train, synthetic": 4}


def test_predictions_are_scored(tmp_path: Path) -> None:
    rows = [
        {"image_id": n, "patient": n // 2, "site": "a", "true": "brain" if n % 2 else "femur", "predicted": "brain"}
        for n in range(12)
    ]
    with (tmp_path / "p.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    scores = fu.score(tmp_path / "p.csv", draws=200)
    accuracy = next(row for row in scores.table.rows if row["score"] == "accuracy")
    assert (accuracy["value"], accuracy["images"], accuracy["patients"]) == (0.5, 12, 6)
    assert len(scores.to_pandas()) > len(scores.table.rows)
    assert json.dumps(scores.to_json(), default=str)
    assert "accuracy" in scores._repr_html_()
    assert scores.figure().size[0] > 100


def ellipse(path: Path, half_width: int) -> None:
    y, x = np.mgrid[:100, :120]
    path.parent.mkdir(exist_ok=True)
    inside = ((x - 60) / half_width) ** 2 + ((y - 50) / 30) ** 2 <= 1
    Pil.fromarray(inside.astype(np.uint8)).save(path)


def test_masks_are_measured_and_scored(tmp_path: Path) -> None:
    for number in range(3):
        ellipse(tmp_path / "reference" / f"{number}.png", 40)
        ellipse(tmp_path / "ours" / f"{number}.png", 40 - number)
    sizes = tmp_path / "sizes.csv"
    sizes.write_text("filename,pixel size(mm)\n" + "".join(f"{n}.png,1.0\n" for n in range(3)), encoding="utf-8")
    heads = fu.measure(tmp_path / "reference", "hc", pixel_sizes=sizes)
    # Ramanujan's formula for an ellipse with semi-axes of 40 and 30 px
    assert heads.to_pandas()["hc_mm"].tolist() == pytest.approx([221.0] * 3, abs=3)
    assert heads.table.rows[0]["masks"] == 3
    heads.write(tmp_path / "hc.csv")
    assert (tmp_path / "hc.csv").read_text(encoding="utf-8").count("\n") == 4
    with pytest.raises(ValueError, match="hc is in mm and needs pixel_sizes"):
        fu.measure(tmp_path / "reference", "hc")
    scores = fu.score_masks(tmp_path / "reference", tmp_path / "ours", "plain", draws=100)
    dice = next(row for row in scores.table.rows if "dice" in str(row["score"]).lower())
    assert 0.9 < float(dice["mean"] or 0) < 1
    assert len(scores.to_pandas()) == 3
    with pytest.raises(ValueError, match="plain needs two or more predictions"):
        scores.figure()
