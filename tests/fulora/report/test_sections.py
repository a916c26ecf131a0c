"""What the report says in words follows the intervals, and what it shows is of the sets it names."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.pictures.embedded_metadata import png_info
from fulora.data.score import Score
from fulora.report import sections
from fulora.report.training import over_fitting, training_section
from fulora.stage import Artifact

FETAL = label_set("fetal_planes")
PLANES = FETAL.names


def score(quantity: str, arm: str, low: float | None, high: float | None, **more: object) -> Score:
    about = {"quantity": quantity, "arm": arm, "value": 0.05, "low": low, "high": high, "protocol": "transfer"}
    return Score.model_validate(about | {"n_images": 9, "n_patients": 3} | more)


CLOSER = {"protocol": "generation"}


@pytest.mark.parametrize(
    ("quantity", "better", "bounds", "said"),
    [
        ("accuracy", "higher", (0.01, 0.2), "a - b did better than c, d on people never seen: accuracy changed by "),
        ("accuracy", "higher", (-0.2, -0.01), "a - b did worse than c, d on people never seen"),
        ("accuracy", "higher", (-0.1, 0.1), "No evidence that a - b and c, d differ"),
        ("accuracy", "higher", (None, None), "No evidence that a - b and c, d differ"),
        ("log loss", "lower", (0.01, 0.2), "a - b did worse than c, d"),
        ("log loss", "lower", (-0.2, -0.01), "a - b did better than c, d"),
        ("MMD²", "", (0.01, 0.2), "Images of c, d are closer to the study population than those of a - b: MMD²"),
        ("MMD²", "", (-0.2, -0.01), "Images of c, d are further from the study population than those of a - b"),
        ("MMD²", "", (0.0, 0.1), "No evidence that images of c, d are closer"),
    ],
)
def test_the_headline_says_no_more_than_the_interval(
    quantity: str, better: str, bounds: tuple[float | None, float | None], said: str
) -> None:
    pair = {"baseline": "c, d", **(CLOSER if quantity == "MMD²" else {"role": "declared", "better": better})}
    rows = [score(quantity, "a - b", *bounds, **pair), score("accuracy", "real", 0.8, 1.0)]
    (sentence,) = sections.headline(rows)
    assert sentence.startswith(said)


def test_key_numbers_are_what_was_declared_and_the_figures_behind_it() -> None:
    both = {"rank": 1, "rule": "own decision"}
    rows = [
        *(score("accuracy", arm, 0.0, 0.1, **both) for arm in ("a - b", "c, d", "other")),
        score("accuracy", "a - b", 0.0, 0.1, **both, group={"kind": "site", "name": "A"}),
        score("macro F1", "a - b", 0.0, 0.1, rank=2, rule="own decision"),
        score("accuracy", "a - b", 0.0, 0.1, **both, baseline="c, d", role="declared"),
        score("MMD²", "base", 0.0, 0.1, baseline="LoRA", **CLOSER),
    ]
    labels = [card.label for card in sections.key_numbers(rows)]
    assert labels == ["Accuracy, a - b", "Accuracy, c, d", "Accuracy, a - b minus c, d", "MMD², base minus LoRA"]


def test_a_network_alone_is_told_by_its_first_scores() -> None:
    found = [
        score(quantity, "U-Net", 0.0, 0.1, protocol=protocol, rank=rank, structure=structure, unit=unit)
        for quantity, protocol, rank, structure, unit in (
            ("Dice", "segmentation", 1, "head", "1"),
            ("Dice", "segmentation", 1, "all", "1"),
            ("failures", "segmentation", 2, "all", "1"),
            ("circumference absolute difference", "biometry", 6, "head", "mm"),
            ("circumference difference", "biometry", 7, "head", "mm"),
        )
    ]
    labels = [card.label for card in sections.key_numbers(found)]
    assert labels == ["Dice (all), U-Net", "Circumference absolute difference, U-Net (mm)"]
    assert not sections.key_numbers([*found, *(row.changed(arm="another") for row in found)])


def images(folder: Path, name: str, gray: int) -> ImageSet:
    """Three images a plane, for training and for the test, each of one gray."""
    rows = [
        Image.model_validate(
            {
                "file_name": "",
                "image_id": f"{name}_{plane}_{split}_{n}",
                "plane": plane,
                "split": split,
                "origin": "real",
                "source": name,
                "site": "A",
                "patient": f"{plane}{split}{n}",
                "width": 64,
                "height": 64,
                "sha256": "",
            }
        )
        for plane in PLANES
        for split in ("train", "test")
        for n in range(3)
    ]
    pictures = []
    for number, row in enumerate(rows):
        pixels = np.full((64, 64), gray, np.uint8)
        pixels[0, 0] = number  # no two images are the same
        pictures.append(Picture(row, pixels))
    ImageSet.write(folder / name, pictures, labels=FETAL)
    return ImageSet(folder / name, name)


def test_the_grids_show_each_set_in_its_own_row(tmp_path: Path) -> None:
    real, base, lora = (images(tmp_path, name, gray) for name, gray in (("real", 40), ("base", 120), ("lora", 200)))
    section = sections.generation_section(
        real, {"base": base, "LoRA": lora}, [score("MMD²", "base", 0.0, 0.2, **CLOSER)], 2
    )
    assert [figure.name for figure in section.figures] == [
        "overview",
        *(f"planes-{plane}" for plane in PLANES),
        "distance",
    ]
    overview = section.figures[0].png
    assert all(plane in section.figures[0].caption for plane in PLANES)
    with Pil.open(BytesIO(overview)) as opened:
        grays = np.asarray(opened.convert("L"))
    down = [gray for gray in grays[:, -40].tolist() if gray in (40, 120, 200)]
    assert [gray for n, gray in enumerate(down) if n == 0 or gray != down[n - 1]] == [40, 120, 200]


def test_losses_come_from_the_metrics_of_what_was_trained(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4, "validation_loss": 1}\n'
    )
    (figure,) = training_section({"real, seed 0": Artifact(tmp_path, "f")}).figures
    assert figure.name == "loss-real-seed-0"
    assert figure.png.startswith(b"\x89PNG")


def test_over_fitting_is_where_held_out_patients_and_trained_ones_part() -> None:
    falling = [(0, 0.4), (50, 0.3), (100, 0.2)]
    assert over_fitting("LoRA", falling, falling) == (
        "LoRA: the loss on patients not trained on was lowest at the end, 0.2000 after step 100."
    )
    unseen = [(0, 0.4), (50, 0.3), (100, 0.35)]
    assert "lowest after step 50, 0.3000, and 0.3500 after step 100" in over_fitting("LoRA", unseen, falling)
    assert "fell from 0.3000 to 0.2000: over-fitting starts about there" in over_fitting("LoRA", unseen, falling)
    assert "rose from 0.3000 to 0.3500: both losses turn about there" in over_fitting("LoRA", unseen, unseen)


def test_sample_grids_are_shown_large_with_what_their_rows_are(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        "".join(f'{{"step": {n}, "seen_loss": {1 - n / 10}, "validation_loss": {1 - n / 20}}}\n' for n in range(3))
    )
    (tmp_path / "samples").mkdir()
    row = Image(
        file_name="x.png",
        image_id="x",
        plane="other",
        split="train",
        origin="synthetic",
        source="fulora",
        site="",
        patient="",
        caption="a photo; another",
        seed="1",
        generator="g",
        width=40,
        height=20,
        sha256="",
    )
    for step in range(0, 900, 100):
        path = tmp_path / "samples" / f"step_{step:06d}.png"
        Pil.fromarray(np.full((20, 40), step // 10, np.uint8)).save(path, pnginfo=png_info(row))
    section = training_section({"LoRA": Artifact(tmp_path, "f")})
    assert [figure.name for figure in section.figures] == [
        "loss-lora",
        "samples-lora-0",
        "samples-lora-300",
        "samples-lora-500",
        "samples-lora-800",
    ]
    assert "LoRA after step 300" in section.figures[2].caption
    assert "Rows: a photo; another." in section.figures[2].caption
    with Pil.open(BytesIO(section.figures[2].png)) as opened:
        assert opened.size == (40 * 27, 20 * 27)
    assert "lowest at the end" in section.text[1]
