"""Lists: what is read comes out as pandas reads it, and what cannot be read is one clear error."""

import csv
import io
import random
import string
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from fulora.intake.published_lists import MAX_BYTES, MAX_CELL, MAX_CELLS, number_in, read_header, read_rows, read_text
from fulora.intake.raw_image import OnSkip, SourceError, refuse


def saved(folder: Path, content: bytes, name: str = "list.csv") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def read_table(path: Path, columns: tuple[str, ...] = (), on_skip: OnSkip = refuse) -> list[dict[str, str]]:
    """The rows of a list without their line numbers."""
    return [row for _, row in read_rows(path, columns, on_skip)]


ROWS = [{"name": "a", "plane": "Fetal brain"}, {"name": "b", "plane": "Other"}]


@pytest.mark.parametrize(
    "content",
    [
        b"name,plane\na,Fetal brain\nb,Other\n",
        b"name,plane\na,Fetal brain\nb,Other",
        b"\xef\xbb\xbfname,plane\na,Fetal brain\nb,Other\n",
        b"name,plane\r\na,Fetal brain\r\nb,Other\r\n",
        b"name,plane\ra,Fetal brain\rb,Other\r",
        b"name,plane\r\na,Fetal brain\nb,Other\r",
        b"name;plane\na;Fetal brain\nb;Other\n",
        b"name\tplane\na\tFetal brain\nb\tOther\n",
        b" name , plane \n a ,Fetal brain  \nb, Other\n",
        b'"name","plane"\n"a","Fetal brain"\n"b","Other"\n',
        b'"name";"plane"\n"a";"Fetal brain"\nb;Other\n',
        b"\n\nname,plane\n\n,\na,Fetal brain\n,\nb,Other\n\n",
    ],
    ids=[
        "plain",
        "no last newline",
        "bom",
        "crlf",
        "cr",
        "mixed",
        "semicolons",
        "tabs",
        "blanks",
        "quoted",
        "quoted ;",
        "empty rows",
    ],
)
def test_every_way_to_write_a_list(tmp_path: Path, content: bytes) -> None:
    path = saved(tmp_path, content)
    assert read_table(path, ("name", "plane")) == ROWS
    assert read_header(path) == ["name", "plane"]


def test_a_separator_inside_quotes_does_not_decide(tmp_path: Path) -> None:
    path = saved(tmp_path, b'"name, of the, image";plane\n"a;b,c";brain\n')
    assert read_table(path) == [{"name, of the, image": "a;b,c", "plane": "brain"}]


def test_lists_are_read_as_pandas_reads_them(tmp_path: Path) -> None:
    draw = random.Random(0)
    letters = string.ascii_letters + string.digits + '"äß;,µ' + "\n"
    rows = [["".join(draw.choices(letters, k=draw.randint(1, 12))).strip() + "x" for _ in range(4)] for _ in range(200)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["a", "b", "c", "d"], *rows])
    path = saved(tmp_path, text.getvalue().encode())
    assert read_table(path) == pd.read_csv(path, dtype=str, keep_default_na=False).map(str.strip).to_dict("records")


def test_line_numbers_are_those_of_an_editor(tmp_path: Path) -> None:
    path = saved(tmp_path, b'name,plane\n\na,"two\nlines"\nb,Other\n')
    assert [number for number, _ in read_rows(path)] == [4, 5]


def test_columns_can_have_another_name(tmp_path: Path) -> None:
    path = saved(tmp_path, b"Filename,plane\na,b\n")
    assert read_rows(path, ("name",), renamed={"Filename": "name"}) == [(2, {"name": "a", "plane": "b"})]


def test_a_row_of_another_length_is_noted_and_the_others_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path, b"name,plane\na,Fetal brain\nshort\nlong,x,y\nb,Other\n")
    told: list[str] = []
    assert read_table(path, on_skip=told.append) == ROWS
    assert told == [
        f"{path}, line 3: 1 cells for 2 columns: short",
        f"{path}, line 4: 3 cells for 2 columns: long, x, y",
    ]
    with pytest.raises(SourceError, match="line 3: 1 cells for 2 columns"):
        read_table(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "missing columns: name, plane; its columns: none"),
        (b"\n \n", "missing columns: name, plane; its columns: none"),
        (b"name,plane\n", "a header without rows; the list must name images"),
        (b"name,Plan\na,b\n", "missing columns: plane; its columns: name, Plan"),
        (b"name,plane,name\na,b,c\n", "duplicate columns: name; which one counts"),
        (b"name,plane\na,Gef\xe4\xdf\n", r"byte 0xe4 at offset 16 is not UTF-8; save the list as UTF-8"),
        ("name,plane\na,b\n".encode("utf-16")[:-1], "line 2: byte 0x0a at offset 30 is not UTF-16; save the list as"),
        ("name,plane\na,b\n".encode("utf-16-be"), "NUL byte at offset 0"),
        ("name,plane\na,b\n".encode("utf-32-be"), "NUL byte at offset 0"),
        ("name,plane\na,b\n".encode("utf-32"), "NUL byte at offset 2"),
        ("name,plane\na,\0\n".encode("utf-16"), "NUL in UTF-16 text"),
        (b"name,plane\na\0,b\n", "NUL byte at offset 12"),
        (b'name,plane\na,"b\nc,d\n', r"line 3: cannot be read as a list \(unexpected end of data\)"),
        (b'name,plane\na,"b"c\n', "line 2: cannot be read as a list"),
        (b"name,plane\na," + b"x" * (MAX_CELL + 1), "line 2: cannot be read as a list .*field larger than"),
    ],
    ids=[
        "empty",
        "blank",
        "header only",
        "column",
        "twice",
        "latin-1",
        "utf-16 cut off",
        "utf-16 unmarked",
        "utf-32",
        "utf-32 marked",
        "utf-16 with NUL",
        "nul",
        "open quote",
        "quote inside",
        "huge cell",
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(SourceError, match=rf"list\.csv.*{message}"):
        read_table(path, ("name", "plane"))


def test_no_list_a_folder_and_a_huge_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv: file not found"):
        read_table(tmp_path / "gone.csv")
    with pytest.raises(SourceError, match="file not found"):
        read_table(tmp_path)
    with pytest.raises(SourceError, match="cannot be read"):
        read_text(tmp_path)
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # a hole: it takes no room on disk
    with pytest.raises(SourceError, match=r"huge\.csv: 67,108,865 bytes; no list is larger"):
        read_table(tmp_path / "huge.csv")
    assert read_header(tmp_path / "huge.csv") == []


def test_the_limit_of_other_readers_is_left_alone(tmp_path: Path) -> None:
    before = csv.field_size_limit(54_321)
    try:
        read_table(saved(tmp_path, b"a\n1\n"))
        with pytest.raises(SourceError):
            read_table(saved(tmp_path, b'a\n"1'))
        assert csv.field_size_limit() == 54_321
    finally:
        csv.field_size_limit(before)


# --- spreadsheets


def sheet(path: Path, rows: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(path)
    return path


def test_a_sheet_and_its_numbers(tmp_path: Path) -> None:
    header = ["Image_name", "Patient_num", "size", "Train "]
    rows = [["a", 1, 0.25, 1.0], ["b", 2.0, None, 0], [None] * 4, [" c ", 3]]
    path = sheet(tmp_path / "list.xlsx", [header, *rows])
    assert read_table(path, ("Train",)) == [
        {"Image_name": "a", "Patient_num": "1", "size": "0.25", "Train": "1"},
        {"Image_name": "b", "Patient_num": "2", "size": "", "Train": "0"},
        {"Image_name": "c", "Patient_num": "3", "size": "", "Train": ""},
    ]
    assert [number for number, _ in read_rows(path)] == [2, 3, 5]


def test_a_sheet_with_a_row_that_is_too_long(tmp_path: Path) -> None:
    path = sheet(tmp_path / "list.xlsx", [["a", "b"], [1, 2], [1, 2, 3]])
    told: list[str] = []
    assert read_table(path, on_skip=told.append) == [{"a": "1", "b": "2"}]
    assert told == [f"{path}, line 3: 3 cells for 2 columns: 1, 2, 3"]


def packed(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return path


def repacked(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A small spreadsheet with its parts changed."""
    plain = sheet(path.with_name("plain.xlsx"), [["a", "b"], [1, 2]])
    with zipfile.ZipFile(plain) as file:
        return packed(path, {name: change(name, file.read(name)) for name in file.namelist()})


def half(name: str, content: bytes) -> bytes:
    return content[: len(content) // 2]


def bomb(name: str, content: bytes) -> bytes:
    return content + b" " * (MAX_BYTES + 1) if name.endswith("sheet1.xml") else content


def laughs(name: str, content: bytes) -> bytes:
    """Entities that stand for 10^9 of the first."""
    if not name.endswith("sheet1.xml"):
        return content
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{entities}]><worksheet>&l9;</worksheet>'.encode()


def many_cells(name: str, content: bytes) -> bytes:
    return content.replace(b'r="2"', b'r="90000"') if name.endswith("sheet1.xml") else content


def long_cell(name: str, content: bytes) -> bytes:
    long = b'<c t="inlineStr"><is><t>' + b"x" * (MAX_CELL + 1) + b"</t></is></c></row></sheetData>"
    return content.replace(b"</row></sheetData>", long) if name.endswith("sheet1.xml") else content


def test_a_whole_number_that_a_sheet_holds_as_a_fraction(tmp_path: Path) -> None:
    path = repacked(tmp_path / "list.xlsx", lambda name, content: content.replace(b"<v>2</v>", b"<v>2.0</v>"))
    assert read_table(path) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("a,b\n1,2\n"), "cannot be read as a spreadsheet .*not a zip file"),
        (lambda path: path.write_bytes(b""), "cannot be read as a spreadsheet"),
        (lambda path: packed(path, {"a.txt": b"no spreadsheet"}), "cannot be read as a spreadsheet"),
        (lambda path: repacked(path, half), "cannot be read as a spreadsheet"),
        (lambda path: repacked(path, bomb), ".* bytes unpacked; no list is larger than 67,108,864"),
        (lambda path: repacked(path, laughs), "cannot be read as a spreadsheet"),
        (lambda path: repacked(path, long_cell), "a cell of 100,001 characters; allowed are 100,000"),
        (lambda path: sheet(path, [["name", "plane"]]), "a header without rows"),
        (lambda path: sheet(path, []), "missing columns: a; its columns: none"),
    ],
    ids=["text", "empty", "other zip", "cut", "bomb", "entities", "cell", "header only", "nothing"],
)
def test_spreadsheets_that_cannot_be_read(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path / "list.xlsx")
    with pytest.raises(SourceError, match=rf"list\.xlsx: {message}"):
        read_table(tmp_path / "list.xlsx", () if "header" in message else ("a",))


def test_the_number_of_cells_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_CELLS == 1_000_000
    monkeypatch.setattr("fulora.intake.published_lists.MAX_CELLS", 10_000)
    path = repacked(tmp_path / "list.xlsx", many_cells)
    with pytest.raises(SourceError, match=r"list\.xlsx: more than 10,000 cells"):
        read_table(path, ("a",))


def test_a_spreadsheet_of_which_a_piece_is_damaged(tmp_path: Path) -> None:
    """Any byte of a spreadsheet may be wrong: it is read, or it is one clear error."""
    path = sheet(tmp_path / "list.xlsx", [["a", "b"], *([str(n), n] for n in range(20))])
    whole = path.read_bytes()
    draw, refused = random.Random(1), 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in draw.sample(range(len(whole)), 3):
            damaged[place] ^= draw.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            read_table(path)
        except SourceError:
            refused += 1
    assert refused > 20


# --- numbers


@pytest.mark.parametrize(("text", "value"), [("0.25", 0.25), (" 1 ", 1.0), ("2e-1", 0.2), (".5", 0.5), ("+1", 1.0)])
def test_numbers(text: str, value: float) -> None:
    assert number_in(text, "pixel size", 0.1, 2) == value


@pytest.mark.parametrize("text", ["", "nan", "NaN", "inf", "-inf", "0,25", "1_0", "１", "0.25 mm", "0x1", "1e", "None"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(SourceError, match=r"pixel size is '.*'; it must be a number, such as 0\.25"):
        number_in(text, "pixel size", 0.1, 2)


@pytest.mark.parametrize("text", ["0", "-1", "2.1", "1e300", "1e999"])
def test_numbers_that_cannot_be(text: str) -> None:
    with pytest.raises(SourceError, match=rf"pixel size is {text}; it must be from 0\.1 to 2"):
        number_in(text, "pixel size", 0.1, 2)


# --- the real lists


@pytest.mark.real_data
def test_the_spreadsheet_and_the_csv_of_fetal_planes_db_agree(data_root: Path) -> None:
    folder = data_root / "fetal_planes_db"
    rows = read_table(folder / "FETAL_PLANES_DB_data.xlsx")
    assert len(rows) == 12_400
    assert rows == read_table(folder / "FETAL_PLANES_DB_data.csv")
    assert rows == pd.read_csv(folder / "FETAL_PLANES_DB_data.csv", sep=";", dtype=str).to_dict("records")
