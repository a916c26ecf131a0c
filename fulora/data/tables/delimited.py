"""Text with separated cells, as R, pandas and spreadsheets write it, read; and CSV that no spreadsheet runs, written.

UTF-8 or UTF-16 with a byte order mark; `,`, `;` or tab, or what a first line `sep=;` says; any newlines. A spreadsheet
takes a cell that begins with `=`, `+`, `-` or `@` as a formula. Texts that do are written with an apostrophe before
them, which spreadsheets take as "this is text" and which is taken away again when the file is read; numbers stay as
they are.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fulora.data.tables.cells import NUMBER

MAX_CELL = 100_000
"""Characters of a cell."""

MAX_BYTES = 64 * 2**20
"""Of a list, unpacked. FETAL_PLANES_DB's is 1 MB."""

SEPARATORS = (",", ";", "\t")
_UTF_16, _UTF_32 = (b"\xff\xfe", b"\xfe\xff"), (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
_FORMULA = re.compile(r"'*\s*[=+\-@＝＋－＠]|'*[\t\r\n]")

Line = tuple[int, list[str]]
"""The number, from 1, of the last line of a row, and the row's cells."""


class DelimitedFileError(ValueError):
    """A text file that cannot be read as a table; says where and what to do."""


class Lines(NamedTuple):
    """The rows of a file, the header among them, and what separates their cells."""

    lines: list[Line]
    separator: str


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 with a byte order mark; its newlines stay as they are.

    Raises:
        DelimitedFileError: unreadable, larger than 64 MiB, with a NUL byte, or in another encoding.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DelimitedFileError(f"{path}: {path.stat().st_size:,} bytes; no list is larger than {MAX_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise DelimitedFileError(f"{path}: cannot be read ({error.strerror})") from error
    wide = content.startswith(_UTF_16) and not content.startswith(_UTF_32)
    if not wide and b"\0" in content:
        raise DelimitedFileError(
            f"{path}: NUL byte at offset {content.index(0)}; it is not UTF-8 text: save it as UTF-8"
        )
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = f"byte 0x{content[error.start]:02x} at offset {error.start} is not UTF-{16 if wide else 8}"
        raise DelimitedFileError(
            f"{path}, line {line}: {wrong}; save the list as UTF-8 ('CSV UTF-8' in Excel, fileEncoding in R)"
        ) from error
    if "\0" in text:
        raise DelimitedFileError(f"{path}: NUL in UTF-16 text; save it as UTF-8")
    return text


def read_lines(path: Path) -> Lines:
    """The rows of a file, cells without blanks around them.

    Raises:
        DelimitedFileError: as `read_text`, a cell of more than 100,000 characters, or a quote that is left open.
    """
    text = read_text(path)
    separator_line = _SEPARATOR_LINE.match(text)
    separator = separator_line[1] if separator_line else _separator(text)
    rows, first = (text[separator_line.end() :], 1) if separator_line else (text, 0)
    before = csv.field_size_limit(MAX_CELL)
    stream = io.StringIO(rows, newline="")
    reader = csv.reader(stream, delimiter=separator, strict=True, skipinitialspace=separator != "\t")
    try:
        return Lines([(reader.line_num + first, [_read(cell) for cell in cells]) for cells in reader], separator)
    except csv.Error as error:
        raise DelimitedFileError(
            f"{path}, line {reader.line_num + first}: cannot be read as a list ({error})"
        ) from error
    finally:
        csv.field_size_limit(before)


def _separator(text: str) -> str:
    """Return the most frequent separator of the first non-empty line, outside quotes."""
    header = re.search(r"[^\r\n]*[^\s,;][^\r\n]*", text)
    bare = re.sub(r'"[^"]*"', "", header[0] if header else "")
    return max(SEPARATORS, key=bare.count)


def row_by_column(header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Return a row as a dict by column. A column without a name, as R writes for row names, is skipped."""
    return {name: cell for name, cell in zip(header, cells, strict=True) if name}


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows, header first, as CSV with `,` and Unix newlines. `read_lines` restores every text exactly."""
    return "".join(",".join(map(_written, row)) + "\n" for row in rows)


def _written(cell: object) -> str:
    text = "" if cell is None else str(cell)
    if isinstance(cell, str) and _FORMULA.match(cell) and not NUMBER.fullmatch(cell):
        text = f"'{text}"
    quoted = text.replace('"', '""')  # Python's writer leaves a carriage return unquoted, and so breaks the row
    return f'"{quoted}"' if re.search(r'[",;\t\r\n]', text) else text


def _read(cell: str) -> str:
    return (cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell).strip()
