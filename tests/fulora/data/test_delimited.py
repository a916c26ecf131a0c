"""Delimited text: how spreadsheets and R write it, and what is written for them."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulora.data.tables.delimited import DelimitedFileError, csv_text, read_lines, read_text
from fulora.data.tables.json_rows import JsonRowError, json_row, json_rows

FORMULAS = (
    "=1+1",
    '=HYPERLINK("http://x","y")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "＝1",
    "-",
    "=",
    "'=1",
    "''=1",
    "-inf",
)
PLAIN = ("brain", "a=b", "'quoted'", "'5", "", 'a, "b"', "Größe 胎児", "−0.5", "<b>", "[red]", "-0.5", "+1e-3", "12")


def rows_of(folder: Path, content: bytes | str) -> list[list[str]]:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [cells for _, cells in read_lines(path).lines]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_as_a_formula_and_all_come_back(tmp_path: Path, text: str) -> None:
    written = csv_text([["id", text], [text, 1.5]])
    cells = [cell for row in csv.reader(io.StringIO(written, newline="")) for cell in row]
    assert not any(cell.lstrip()[:1] in tuple("=+-@＝") and cell.lstrip() for cell in cells)
    assert not any(cell[:1] in ("\t", "\r", "\n") for cell in cells if cell)
    assert rows_of(tmp_path, written) == [["id", text.strip()], [text.strip(), "1.5"]]


@pytest.mark.parametrize("text", PLAIN)
def test_other_texts_and_numbers_are_written_as_they_are(tmp_path: Path, text: str) -> None:
    written = csv_text([["id", text], [text, "x"]])
    assert list(csv.reader(io.StringIO(written, newline=""))) == [["id", text], [text, "x"]]
    assert rows_of(tmp_path, written) == [["id", text], [text, "x"]]


def test_numbers_stay_numbers() -> None:
    assert csv_text([("a", "b", "c", "d"), (-0.5, -3, None, "-0.25")]) == "a,b,c,d\n-0.5,-3,,-0.25\n"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("csv")
    assert rows_of(folder, csv_text([["a", "b"], [text, "x"]])) == [["a", "b"], [text.strip(), "x"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_line_sep_of_excel(tmp_path: Path, separator: str, end: str) -> None:
    lines = [f"sep={separator}", separator.join(("a;b", '"c,d"')), separator.join(("1", "2"))]
    if separator == ";":
        lines[1] = 'a;"c,d"'
    path = tmp_path / "list.csv"
    path.write_bytes(("\ufeff" + end.join(lines) + end).encode())
    found = read_lines(path)
    assert found.separator == separator
    assert [number for number, _ in found.lines] == [2, 3]
    assert [len(cells) for _, cells in found.lines] == [2, 2]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_what_they_are(tmp_path: Path, encoding: str) -> None:
    text = "name\tsite\na\tAlgérie 胎児\n"
    assert rows_of(tmp_path, text.encode(encoding)) == [["name", "site"], ["a", "Algérie 胎児"]]


def test_latin_1_is_refused_with_the_line_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("name,site\na,Ghana\nb,Algérie\n".encode("latin-1"))
    with pytest.raises(DelimitedFileError, match=r"list\.csv, line 3: byte 0xe9 .* save the list as UTF-8 \('CSV UTF"):
        read_text(path)


# --- JSON


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "duplicate key among a, a"),
        ('{"a": "\\ud800"}', "is no JSON .*surrogates not allowed"),
        ('{"a": ' + "[" * 100_000, "a row of 100,006 characters; allowed are 100,000"),
        ('{"a": ' + "[" * 50_000, "is no JSON .*recursion"),
        ('{"a": ' + "1" * 5000 + "}", "is no JSON .*4300"),
        ("3", "is no JSON object"),
    ],
)
def test_rows_of_json_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(JsonRowError, match=message):
        json_row(text)


def test_json_as_lines_and_as_a_list(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert json_rows(path, '{"a": 1}\n\n{"a": "x\u2028y"}\n') == [(1, {"a": 1}), (3, {"a": "x\u2028y"})]
    assert json_rows(path, '[{"a": 1},\n {"a": 2}]') == [(1, {"a": 1}), (2, {"a": 2})]
    with pytest.raises(JsonRowError, match=r"a\.json, line 2: .* is no JSON .*JSON lines hold one object a line"):
        json_rows(path, '{"a": 1}\n{"a"\n')
    with pytest.raises(JsonRowError, match=r"a\.json: .* is no JSON .*a list of rows is"):
        json_rows(path, '[{"a": 1},')
    with pytest.raises(JsonRowError, match=r"a\.json, row 2: '3' is no JSON object"):
        json_rows(path, '[{"a": 1}, 3]')
