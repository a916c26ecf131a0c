"""Masks that a column of an imagefolder or of a `datasets` set names go through curation with their pictures."""

import io
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.intake.config import CurateConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.image_set_labels import source_inputs
from fulora.intake.phantoms.scan import draw

BRAIN = label_set("fetal_planes").only(["brain"])
PHANTOMS = draw("brain", range(6), site="A", size_px=64, seed=3)
WITHOUT = 5
"""The phantom whose row names no mask."""


def curated(root: Path, source: dict[str, object]) -> ImageSet:
    """The image set of the source in `root/own`, six heads at the size they were drawn in."""
    about = {"folder": "own", "role": "train+validation+test"}
    config = CurateConfig.model_validate(
        {"sources": [about | source], "label_set": BRAIN, "image_size_px": 64, "deidentify": "nothing"}
    )
    curation = Curation(config, source_inputs(config, [{"folder": root / "own"}]))
    ImageSet.write(root / "out", curation.pictures(), labels=BRAIN)
    assert curation.left_out == []
    return ImageSet(root / "out", "")


def check_masks(images: ImageSet) -> None:
    """Each picture has its own mask, in class numbers; the one whose row names none has none."""
    rows = {int(row.patient): row for row in images.rows()}
    assert sorted(rows) == list(range(6))
    assert {row.split for row in rows.values()} == {"train", "validation", "test"}
    for number, row in rows.items():
        np.testing.assert_array_equal(images.pixels(row), PHANTOMS.images[number])
        assert bool(row.mask_file) == (number != WITHOUT)
        if row.mask_file:
            np.testing.assert_array_equal(images.mask(row), PHANTOMS.masks[number])


@pytest.mark.parametrize("column", ["mask", "mask_file_name"])
@pytest.mark.parametrize("values", [1, 255])
def test_masks_that_an_imagefolder_names_are_curated(tmp_path: Path, column: str, values: int) -> None:
    own = tmp_path / "own"
    for place in ("images", "masks"):
        (own / place).mkdir(parents=True)
    lines = []
    for number, (pixels, mask) in enumerate(zip(PHANTOMS.images, PHANTOMS.masks, strict=True)):
        name = {"file_name": f"images/{number}.png", "label": "brain", "patient": str(number)}
        Pil.fromarray(pixels).save(own / name["file_name"])
        if number != WITHOUT:
            name[column] = f"masks/{number}.png"
            Pil.fromarray((mask * values).astype(np.uint8)).save(own / name[column])
        lines.append(json.dumps(name))
    (own / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    check_masks(curated(tmp_path, {"kind": "imagefolder", "split": "stratified"}))


def test_masks_in_a_column_of_datasets_are_curated(tmp_path: Path) -> None:
    def png(pixels: np.ndarray) -> dict[str, object]:
        file = io.BytesIO()
        Pil.fromarray(pixels).save(file, "png")
        return {"bytes": file.getvalue(), "path": None}

    rows = {
        "image": [png(pixels) for pixels in PHANTOMS.images],
        "label": [0] * 6,
        "who": [str(number) for number in range(6)],
        "mask": [None if number == WITHOUT else png(mask * 255) for number, mask in enumerate(PHANTOMS.masks)],
    }
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["brain"]),
            "who": datasets.Value("string"),
            "mask": datasets.Image(),
        }
    )
    (tmp_path / "own").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "own" / "train.parquet")
    check_masks(curated(tmp_path, {"kind": "huggingface", "columns": {"patient": "who", "mask": "mask"}}))
