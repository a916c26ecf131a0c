"""The picture of pictures: rows of equal ones, marked as synthetic."""

from pathlib import Path

import numpy as np
import pytest
from image_rows import synthetic_row
from PIL import Image as Pil

from fulora.data.column_types import Plane
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet, label_set
from fulora.data.pictures.embedded_metadata import read_mark
from fulora.diffusion.sampling.picture_grid import (
    GAP_PX,
    HEIGHT_PX,
    LABEL_PX,
    SHOWN,
    grid,
    write_marked,
    write_overview,
)

FETAL = label_set("fetal_planes")


def image_set(
    folder: Path, planes: tuple[Plane, ...], count: int, size: tuple[int, int] = (64, 64), labels: LabelSet = FETAL
) -> ImageSet:
    """Pictures of one level each: 10, 20, ... in the order of planes and numbers."""
    pictures = []
    for place, plane in enumerate(planes):
        for number in range(count):
            row = synthetic_row(f"{plane}{number:03d}", plane=plane, generator="g0")
            pictures.append(Picture(row, np.full(size[::-1], 100 * place + 5 * number + 10, np.uint8)))
    folder.mkdir()
    ImageSet.write(folder, pictures, labels=labels)
    return ImageSet(folder, "")


def test_a_grid_has_gaps_between_and_none_around() -> None:
    shades = [[np.full((2, 3), 10 * row + column + 1, np.uint8) for column in range(3)] for row in range(2)]
    found = grid(shades)
    assert found.shape == (2 + GAP_PX + 2, 3 + GAP_PX + 3 + GAP_PX + 3)
    assert found[0, 0] == 1
    assert found[-1, -1] == 13
    assert not found[2 : 2 + GAP_PX].any()
    assert not found[:, 3 : 3 + GAP_PX].any()
    assert sorted(np.unique(found)) == [0, 1, 2, 3, 11, 12, 13]


def test_each_plane_has_a_row_of_its_first_pictures(tmp_path: Path) -> None:
    images = image_set(tmp_path / "set", ("femur", "brain"), SHOWN + 3)
    write_overview(tmp_path / "all.png", images, ("femur", "brain"))
    with Pil.open(tmp_path / "all.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape == (2 * HEIGHT_PX + GAP_PX, LABEL_PX + SHOWN * (HEIGHT_PX + GAP_PX))
    for row in range(2):
        middle = row * (HEIGHT_PX + GAP_PX) + HEIGHT_PX // 2
        levels = [pixels[middle, LABEL_PX + GAP_PX + k * (HEIGHT_PX + GAP_PX) + HEIGHT_PX // 2] for k in range(SHOWN)]
        assert levels == [100 * row + 5 * k + 10 for k in range(SHOWN)]
    assert pixels[:HEIGHT_PX, :LABEL_PX].max() > 200  # the plane's name


@pytest.mark.parametrize(("size", "width"), [((96, 64), 192), ((32, 64), 64), ((64, 640), 13)])
def test_pictures_keep_their_shape(tmp_path: Path, size: tuple[int, int], width: int) -> None:
    images = image_set(tmp_path / "set", ("brain",), 2, size)
    write_overview(tmp_path / "all.png", images, ("brain",))
    with Pil.open(tmp_path / "all.png") as image:
        assert image.size == (LABEL_PX + 2 * (width + GAP_PX), HEIGHT_PX)


def test_it_is_marked_as_synthetic_and_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    images = image_set(tmp_path / "set", ("brain", "femur"), 2)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_overview(tmp_path / folder / "all.png", images, ("brain", "femur"))
    assert (tmp_path / "a" / "all.png").read_bytes() == (tmp_path / "b" / "all.png").read_bytes()
    mark = read_mark(tmp_path / "a" / "all.png")
    assert mark is not None
    assert (mark.synthetic, mark.caption, mark.generator) == (True, "brain; femur", "g0")


def test_a_marked_picture_holds_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9)).astype(np.uint8)
    write_marked(tmp_path / "a.png", pixels, caption="c", seed="s", generator="g")
    with Pil.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    mark = read_mark(tmp_path / "a.png")
    assert mark is not None
    assert (mark.synthetic, mark.caption, mark.seed, mark.generator) == (True, "c", "s", "g")


def test_long_names_and_other_scripts_are_wrapped(tmp_path: Path) -> None:
    names = ("x", "Ductus venosus in the midsagittal plane with Doppler 腎臓", "a" * 80)
    labels = LabelSet.derived(names)
    images = image_set(tmp_path / "set", names, 1, labels=labels)
    write_overview(tmp_path / "all.png", images, names)
    with Pil.open(tmp_path / "all.png") as image:
        pixels = np.asarray(image)[:, :LABEL_PX]
    for row in range(3):
        lines = pixels[row * (HEIGHT_PX + GAP_PX) : (row + 1) * (HEIGHT_PX + GAP_PX)]
        assert (lines[:, -3:] == 0).all()  # nothing is cut off at the side
        assert bool((lines > 100).any(axis=1).sum() > 20) is (row > 0)
