"""Pictures as squares: whole or squashed, decoded once."""

from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row

from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.pictures import loaders
from fulora.data.pictures.loaders import load_squares

FETAL = label_set("fetal_planes").joined(label_set("intrapartum"))


@pytest.mark.parametrize("bound", [0, 10**9])
def test_pictures_of_several_sizes_come_in_order_from_memory_or_disk(
    bound: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "IN_MEMORY_BYTES", bound)
    grays = [40, 80, 120]
    pictures = [
        Picture(image_row(f"i{n}", patient=f"p{n}"), np.full((20 + n, 30), gray, np.uint8))
        for n, gray in enumerate(grays)
    ]
    ImageSet.write(tmp_path, pictures, labels=FETAL)
    images = ImageSet(tmp_path, "")
    found = load_squares(images, images.rows("train"), 24, "squash")
    assert found.shape == (3, 24, 24)
    assert isinstance(found, np.memmap) == (bound == 0)
    assert [int(square[12, 12]) for square in found] == grays
    assert load_squares(images, [], 24, "squash").shape == (0, 24, 24)


def test_masks_keep_their_class_numbers(tmp_path: Path) -> None:
    mask = np.zeros((30, 60), np.uint8)
    mask[5:20, 10:40], mask[22:28, 45:58] = 1, 2
    row = image_row(plane="intrapartum")
    ImageSet.write(tmp_path, [Picture(row, mask * 90, mask)], labels=FETAL)
    images = ImageSet(tmp_path, "")
    (square,) = loaders.load_square_masks(images, images.rows("train"), 40, "letterbox")
    assert set(np.unique(square)) == {0, 1, 2}
    assert not square[:10].any()
    assert abs((square == 1).mean() * 1600 - 15 * 30 * (40 / 60) ** 2) < 25
