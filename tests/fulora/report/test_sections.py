"""What the sections on images and training show is of the sets and trainings that they name."""

import json
from pathlib import Path

import numpy as np
import pytest
from image_rows import synthetic_row
from PIL import Image as Pil
from report_pages import images_of, page_of_parts, recorded, stored

from fulora.data.label_set import label_set
from fulora.data.pictures.embedded_metadata import png_info
from fulora.data.results import Scores
from fulora.data.score import Score
from fulora.report.parts import GenerationPart, TrainingPart
from fulora.stage import Artifact

FETAL = label_set("fetal_planes")


@pytest.mark.slow
def test_the_grids_show_each_set_in_its_own_row(tmp_path: Path) -> None:
    grays = {"real": 40, "base": 120, "lora": 200}
    real, base, lora = (images_of(tmp_path / name, FETAL, gray=gray, each=3) for name, gray in grays.items())
    row = Score(
        quantity="MMD²", arm="base", value=0.1, low=0.0, high=0.2, protocol="generation", n_images=9, n_patients=3
    )
    scores = stored(tmp_path / "scores", Scores, [row])
    page = page_of_parts(tmp_path / "page", GenerationPart(real, {"base": base, "LoRA": lora}, scores, 2))
    assert list(page.figures) == ["overview", "distance", *(f"planes-{name}" for name in FETAL.names)]
    assert all(name in page.figures["overview"] for name in FETAL.names)
    assert page.tables["Closeness to the study population"][1][:2] == ["base", "0.100 [0.000, 0.200]"]
    with Pil.open(tmp_path / "page" / "figures" / "overview.png") as opened:
        pixels = np.asarray(opened.convert("L"))
    down = [gray for gray in pixels[:, -40].tolist() if gray in (40, 120, 200)]
    assert [gray for n, gray in enumerate(down) if n == 0 or gray != down[n - 1]] == [40, 120, 200]


def trained(folder: Path, *rows: dict[str, float]) -> Artifact:
    """A training with these metrics."""
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return recorded(folder, Artifact)


def test_losses_come_from_the_metrics_of_what_was_trained(tmp_path: Path) -> None:
    training = trained(tmp_path / "a", {"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4, "validation_loss": 1})
    page = page_of_parts(tmp_path, TrainingPart({"real, seed 0": training}))
    assert page.figures == {"loss-real-seed-0": "Losses of real, seed 0."}
    assert (tmp_path / "figures" / "loss-real-seed-0.png").read_bytes().startswith(b"\x89PNG")
    assert page.summary == ["Of phantoms."]


def test_over_fitting_is_where_held_out_patients_and_trained_ones_part(tmp_path: Path) -> None:
    falling, rising = (0.4, 0.3, 0.2), (0.4, 0.3, 0.35)
    curves = {
        name: trained(
            tmp_path / name,
            *(
                {"step": step, "validation_loss": unseen, "seen_loss": seen}
                for step, unseen, seen in zip((0, 50, 100), *both, strict=True)
            ),
        )
        for name, both in {"A": (falling, falling), "B": (rising, falling), "C": (rising, rising)}.items()
    }
    page = page_of_parts(tmp_path / "page", TrainingPart(curves))
    _, *sentences = page.sections["Training"]
    assert page.summary == [*sentences, "Of phantoms."]
    assert sentences[0] == "A: the loss on patients not trained on was lowest at the end, 0.2000 after step 100."
    assert "lowest after step 50, 0.3000, and 0.3500 after step 100" in sentences[1]
    assert "fell from 0.3000 to 0.2000: over-fitting starts about there" in sentences[1]
    assert "rose from 0.3000 to 0.3500: both losses turn about there" in sentences[2]


def test_images_of_a_training_are_counted_by_class_and_split(tmp_path: Path) -> None:
    images = images_of(tmp_path / "images", FETAL, each=3, left_out=("brain", "train"))
    page = page_of_parts(tmp_path, TrainingPart({"A": trained(tmp_path / "a", {"step": 1, "loss": 0.5})}, images))
    header, *lines = page.tables["Images by plane"]
    assert header == ["plane", "train", "validation"]
    classes = [name for name in FETAL.names if name != "brain"]
    count = str(3 * len(classes))
    assert lines == [*([name, "3", "0"] for name in classes), ["all images", count, "0"], ["patients", count, "0"]]


def test_sample_grids_are_shown_large_with_what_their_rows_are(tmp_path: Path) -> None:
    rows = [{"step": n, "seen_loss": 1 - n / 10, "validation_loss": 1 - n / 20} for n in range(3)]
    training = trained(tmp_path / "lora", *rows)
    (training.path / "samples").mkdir()
    row = synthetic_row("x", file_name="x.png", plane="other", caption="a photo; another", width=40, height=20)
    for step in range(0, 900, 100):
        path = training.path / "samples" / f"step_{step:06d}.png"
        Pil.fromarray(np.full((20, 40), step // 10, np.uint8)).save(path, pnginfo=png_info(row))
    page = page_of_parts(tmp_path, TrainingPart({"LoRA": training}))
    samples = [f"samples-lora-{step}" for step in (0, 300, 500, 800)]
    assert list(page.figures) == ["loss-lora", *samples]
    assert "LoRA after step 300" in page.figures["samples-lora-300"]
    assert "Rows: a photo; another." in page.figures["samples-lora-300"]
    with Pil.open(tmp_path / "figures" / "samples-lora-300.png") as opened:
        assert opened.size == (40 * 27, 20 * 27)
    assert "lowest at the end" in page.sections["Training"][1]
