"""Sheets: every picture under its name, columns labelled, pages written as they fill."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.intake.deidentify.contact_sheets import (
    CHANGES,
    FRAMES,
    HEADER_PX,
    PAGE_PX,
    ContactSheets,
    SheetLayout,
    mark_removed,
)

BLACK = np.zeros((30, 40), np.uint8)
WHITE = np.full((30, 40), 255, np.uint8)


def page(folder: Path, name: str) -> np.ndarray:
    with Pil.open(folder / name) as image:
        return np.asarray(image)


def test_a_page_is_written_as_soon_as_it_is_full(tmp_path: Path) -> None:
    sheets = ContactSheets(tmp_path / "sheets", "pictures", CHANGES)
    names = [sheets.add(f"{number}.dcm", (WHITE, BLACK, WHITE)) for number in range(5)]
    assert names == ["pictures-0001.png"] * 4 + ["pictures-0002.png"]
    assert [path.name for path in (tmp_path / "sheets").iterdir()] == ["pictures-0001.png"]
    sheets.close()
    sheets.close()
    assert list(sheets.pages) == ["pictures-0001.png", "pictures-0002.png"]
    for name, sha256 in sheets.pages.items():
        assert hashlib.sha256((tmp_path / "sheets" / name).read_bytes()).hexdigest() == sha256
    first, second = (page(tmp_path / "sheets", name) for name in sheets.pages)
    assert first.shape == (HEADER_PX + 4 * CHANGES.cell[1], PAGE_PX, 3)
    assert second.shape == (HEADER_PX + CHANGES.cell[1], PAGE_PX, 3)


@pytest.mark.parametrize(("shape", "shown"), [((30, 40), (30, 40)), ((540, 800), (427, 634)), ((2000, 100), (475, 23))])
def test_pictures_are_in_their_columns_and_undistorted(tmp_path: Path, shape: tuple[int, int], shown: object) -> None:
    white, black = np.full(shape, 255, np.uint8), np.zeros(shape, np.uint8)
    sheets = ContactSheets(tmp_path, "pictures", CHANGES)
    sheets.add("1.dcm", (white, black, np.stack([white, black, black], -1)))
    sheets.close()
    found = page(tmp_path, "pictures-0001.png")
    row, column = found[HEADER_PX + 24 :], PAGE_PX // 3
    for number, colour in enumerate([(255, 255, 255), (0, 0, 0), (255, 0, 0)]):
        there = (row[:, number * column : (number + 1) * column] == colour).all(axis=-1)
        ys, xs = np.nonzero(there)
        assert (ys.max() + 1, xs.max() + 1) == shown
        assert there.sum() == (ys.max() + 1) * (xs.max() + 1)


def test_every_column_of_every_picture_is_labelled(tmp_path: Path) -> None:
    """The header has ink above the left end of every column, and every picture has a caption."""
    for layout in (CHANGES, FRAMES):
        sheets = ContactSheets(tmp_path, f"p{layout.across}", layout)
        for number in range(layout.across):
            sheets.add(f"{number}.dcm", (BLACK,) * 3, "frame 1 of 2")
        sheets.close()
        found = page(tmp_path, f"p{layout.across}-0001.png")
        step = PAGE_PX // (layout.across * 3)
        for left in range(0, PAGE_PX, step):
            assert (found[:HEADER_PX, left : left + 60] == 255).any()
        for left in range(0, PAGE_PX, layout.cell[0]):
            assert (found[HEADER_PX : HEADER_PX + 24, left : left + 60] == 255).any()


def test_names_that_differ_beyond_ascii_differ_on_the_sheet_and_long_ones_keep_their_ends(tmp_path: Path) -> None:
    layout = SheetLayout(("x",), across=2, down=2)
    sheets = ContactSheets(tmp_path, "p", layout)
    for name in ("Ж1", "Д1", "a" * 300 + "1", "a" * 300 + "2"):
        sheets.add(name, (BLACK,))
    sheets.close()
    found = page(tmp_path, "p-0001.png")
    width, height = layout.cell
    captions = [found[HEADER_PX + r * height :][:24, c * width :][:, :width] for r in range(2) for c in range(2)]
    assert not np.array_equal(captions[0], captions[1])
    assert not np.array_equal(captions[2], captions[3])


def test_what_was_removed_is_red() -> None:
    removed = np.zeros((30, 40), bool)
    removed[3:5, 6:9] = True
    shown = mark_removed(WHITE, removed)
    assert (shown[removed] == (255, 0, 0)).all()
    assert (shown[~removed] == 127).all()
