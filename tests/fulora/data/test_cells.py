"""Missing values in every usual spelling, and columns that mean the same however they were written."""

import math
from collections import Counter

import pandas as pd
import pytest

from fulora.data.tables.cells import clean_rows, is_missing, text_of

ASKED = ("NA", "N/A", "nan", "NaN", "NULL", "None", "#N/A", "-", ".", "", " ", " na ", "null", "n/a", "<NA>", "#NV")
PANDAS = sorted(pd._libs.parsers.STR_NA_VALUES)
"""What pandas takes as missing."""


@pytest.mark.parametrize("cell", [*ASKED, *PANDAS, None, float("nan")])
def test_every_usual_spelling_is_missing(cell: object) -> None:
    assert is_missing(cell)


@pytest.mark.parametrize("cell", ["0", 0, 0.0, False, "Nan Province", "nano", "N", "A", "-1", "-a", "1.", "NAM", "nA2"])
def test_values_are_not_missing(cell: object) -> None:
    assert not is_missing(cell)


def test_json_values_as_text() -> None:
    assert [text_of(value) for value in (None, math.nan, 12.0, 12, 1.5, " a ", True)] == [
        "",
        "",
        "12",
        "12",
        "1.5",
        "a",
        "True",
    ]


def test_missing_cells_are_empty_and_counted_by_spelling() -> None:
    rows = [{"patient": "NA", "site": "Ghana"}, {"patient": "7", "site": "-"}, {"patient": "NA", "site": ""}]
    found = clean_rows(rows)
    assert found.rows == [{"patient": "", "site": "Ghana"}, {"patient": "7", "site": ""}, {"patient": "", "site": ""}]
    assert found.missing == {"patient": Counter(NA=2), "site": Counter({"-": 1})}
    assert found.notes == ('taken as missing: patient 2 "NA"; site 1 "-"',)
    assert rows[0]["patient"] == "NA"  # what was given stays as it was
    assert clean_rows(rows, ("site",)).rows[0]["patient"] == "NA"
    assert clean_rows([{"a": "x"}]).notes == ()


def test_whole_numbers_that_became_floats_for_a_missing_one() -> None:
    rows = [{"patient": cell} for cell in ("1.0", "12.0", "nan", "3")]
    found = clean_rows(rows)
    assert [row["patient"] for row in found.rows] == ["1", "12", "", "3"]
    assert "whole numbers written as floats, read without .0: patient" in found.notes
    kept = [{"visit": cell} for cell in ("1.0", "1.1", "2.0")]
    assert clean_rows(kept).rows == kept


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (("0,25", "1", "NA"), ["0.25", "1", ""]),
        (("-0,5", "1,5e-3"), ["-0.5", "1.5e-3"]),
        (("0,25", "0.5"), ["0,25", "0.5"]),  # neither way for certain
        (("0,25", "left, right"), ["0,25", "left, right"]),
        (("1,234,567", "1"), ["1,234,567", "1"]),
    ],
)
def test_decimal_commas_are_read_where_a_whole_column_has_them(cells: tuple[str, ...], read: list[str]) -> None:
    rows = [{"size": cell} for cell in cells]
    assert [row["size"] for row in clean_rows(rows, decimal_commas=("size",)).rows] == read
    kept = [cell for cell in cells if cell != "NA"]
    assert [row["size"] for row in clean_rows(rows).rows if row["size"]] == kept
