"""Names of columns in any spelling, and two that are one."""

import pytest

from fulora.data.tables.column_names import HeaderError, rename_columns

KNOWN = ("file_name", "pixel size(mm)", "width")


@pytest.mark.parametrize(
    "written", ["pixel size(mm)", "Pixel Size (mm)", "PIXEL_SIZE_MM", "pixel.size.mm.", " pixel size(mm) "]
)
def test_a_known_column_gets_its_documented_name(written: str) -> None:
    assert rename_columns(["File Name", written, "Other"], KNOWN) == ["file_name", "pixel size(mm)", "Other"]


def test_another_name_and_a_name_that_is_exact() -> None:
    assert rename_columns(["Filename", "Columns"], KNOWN, {"columns": "width"}) == ["file_name", "width"]
    assert rename_columns(["Other", "other"], ("other", "Other")) == ["Other", "other"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (["Width", "width"], "columns 'Width' and 'width' are both width; give one"),
        (["Columns", "WIDTH"], "columns 'Columns' and 'WIDTH' are both width; give one"),
        (["x", "x"], "duplicate columns: x; which one counts cannot be known"),
    ],
)
def test_two_columns_of_one_name(header: list[str], message: str) -> None:
    with pytest.raises(HeaderError, match=message):
        rename_columns(header, KNOWN, {"columns": "width"})
