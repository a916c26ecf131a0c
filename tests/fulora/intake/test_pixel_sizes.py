"""Lists of pixel sizes: names of columns, whole numbers, the original's shape."""

from pathlib import Path

import pytest

from fulora.intake.pixel_sizes import PixelSize, has_references, read_pixel_sizes
from fulora.intake.raw_image import SourceError


def saved(folder: Path, text: str) -> Path:
    (folder / "sizes.csv").write_text(text)
    return folder / "sizes.csv"


@pytest.mark.parametrize("sides", ["width,height", "Width,Height", " WIDTH , HEIGHT ", "Columns,Rows", "columns,rows"])
@pytest.mark.parametrize("names", ["filename,pixel size(mm)", "File_Name,Pixel Size (mm)", "FILENAME,Pixel_Size_mm"])
def test_names_of_columns_in_any_case(tmp_path: Path, names: str, sides: str) -> None:
    path = saved(tmp_path, f"{names},{sides}\n001_HC.png,0.2,1040,800\n")
    assert read_pixel_sizes(path) == {"001_HC": PixelSize(0.2, (1040, 800))}


def test_a_semicolon_list_with_decimal_commas(tmp_path: Path) -> None:
    path = saved(tmp_path, "Filename;Pixel Size (mm);Head Circumference (mm)\n001_HC.png;0,20;175,5\n")
    assert read_pixel_sizes(path) == {"001_HC": PixelSize(0.2)}
    assert has_references(path)


@pytest.mark.parametrize("cell", ["1,040", "1,000", "1.000", "1040.5", "1e3", "-4", "wide"])
def test_a_width_is_digits_alone(tmp_path: Path, cell: str) -> None:
    path = saved(tmp_path, f"filename;pixel size(mm);width;height\na.png;0,2;{cell};800\n")
    with pytest.raises(SourceError, match=rf"line 2, a\.png: width is '{cell}'; it must be a whole number from 1"):
        read_pixel_sizes(path)


def test_a_pixel_size_without_a_width(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="width is 0; it must be from 1 to 100000"):
        read_pixel_sizes(saved(tmp_path, "filename,pixel size(mm),width,height\na.png,0.2,0,800\n"))


@pytest.mark.parametrize("name", ["image_width", "orig height", "pixel size y (mm)", "spacing"])
def test_a_column_that_looks_like_a_size_is_refused(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, f"filename,pixel size(mm),{name}\na.png,0.2,1\n")
    with pytest.raises(SourceError, match=r"is unknown\. The size of a pixel is `pixel size"):
        read_pixel_sizes(path)


def test_ignored_columns_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_pixel_sizes(saved(tmp_path, "filename,pixel size(mm),trimester\na.png,0.2,2\n"))
    assert "columns that are not read: trimester" in " ".join(capsys.readouterr().err.split())


def test_a_missing_pixel_size_leaves_its_row_out(tmp_path: Path) -> None:
    path = saved(tmp_path, "filename,pixel size(mm)\na.png,NA\nb.png,0.2\n")
    assert read_pixel_sizes(path) == {"b": PixelSize(0.2)}
    with pytest.raises(SourceError, match="a is a duplicate"):
        read_pixel_sizes(saved(tmp_path, "filename,pixel size(mm)\na.png,NA\na.png,0.2\n"))


@pytest.mark.parametrize(("shape", "reshaped"), [((400, 520), False), ((200, 261), False), ((256, 256), True)])
def test_another_aspect_ratio(shape: tuple[int, int], reshaped: bool) -> None:
    assert PixelSize(0.2, (1040, 800)).reshaped(shape) is reshaped
    assert PixelSize(0.2).reshaped(shape) is False


def test_exchanged_width_and_height() -> None:
    with pytest.raises(
        SourceError, match=r"\(800, 1040\) in the list and \(520, 400\) in the mask: width and height seem to be exch"
    ):
        PixelSize(0.2, (800, 1040)).reshaped((400, 520))
