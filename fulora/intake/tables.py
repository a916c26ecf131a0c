"""Lists as they are published: CSV with a byte order mark, Windows newlines, `;` or `,`, blanks in names; or xlsx."""

import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from fulora import progress
from fulora.data.tables import delimited
from fulora.data.tables.cells import NUMBER, tidied
from fulora.data.tables.column_names import HeaderError, documented
from fulora.data.tables.delimited import MAX_BYTES, MAX_CELL, DelimitedFileError, Line, Lines, named
from fulora.intake.raw_image import OnSkip, SourceError, refuse

MAX_CELLS = 1_000_000


def read_table(path: Path, columns: tuple[str, ...] = (), on_skip: OnSkip = refuse) -> list[dict[str, str]]:
    """The rows of a .csv or .xlsx list, as `read_rows` gives them, without their line numbers."""
    return [row for _, row in read_rows(path, columns, on_skip)]


def read_rows(
    path: Path,
    columns: tuple[str, ...] = (),
    on_skip: OnSkip = refuse,
    renamed: Mapping[str, str] | None = None,
    *,
    optional: Collection[str] = (),
    measures: Collection[str] = (),
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a .csv list, or of the first sheet of an .xlsx, each with the number of the line it ends on.

    Names and values lose the blanks around them, empty rows are left out, and a missing value (`NA`, `nan`, `-`, ...;
    `fulora.data.tables.cells`) is "". What was taken as missing is noted on standard error. In a sheet 1.0 is "1".

    Args:
        columns: names that must be there.
        on_skip: told of each row with more or fewer cells than the header.
        renamed: other names that columns have, and those they get.
        optional: names that may be there. Case, blanks and punctuation of all these names do not count.
        measures: columns of measures, in which a comma is decimal if it does not separate cells.

    Raises:
        SourceError: no file, text that is not UTF-8, a column that is missing, two columns of one name, no rows, a cell
            of more than 100,000 characters, a quote that is left open, or a list larger than any real one.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not there")
    lines, separator = _lines(path)
    filled = [(number, cells) for number, cells in lines if any(cells)]
    header = _header(path, filled[0][1] if filled else [], columns, (*columns, *optional), renamed)
    if len(filled) == 1:
        raise SourceError(f"{path}: a header and no rows; the list must name images")
    rows = []
    for number, cells in filled[1:]:
        if len(cells) == len(header):
            rows.append((number, named(header, cells)))
        else:
            on_skip(f"{path}, line {number}: {len(cells)} cells for {len(header)} columns: {', '.join(cells)[:200]}")
    found = tidied([row for _, row in rows], decimal_commas=measures if separator != "," else ())
    for note in found.notes:
        progress.note(f"{path}: {note}")
    return [(number, row) for (number, _), row in zip(rows, found.rows, strict=True)]


def read_header(path: Path) -> list[str]:
    """The names of a list's columns; none where it cannot be read as a list."""
    try:
        lines = _lines(path).lines
    except SourceError:
        return []
    return next((cells for _, cells in lines if any(cells)), [])


def _header(
    path: Path, written: list[str], needed: Collection[str], known: Collection[str], renamed: Mapping[str, str] | None
) -> list[str]:
    """The columns by their documented names."""
    try:
        header = documented(written, known, renamed)
    except HeaderError as error:
        raise SourceError(f"{path}: {error}") from error
    missing = [name for name in needed if name not in header]
    if missing:
        others = {name: [other for other, to in (renamed or {}).items() if to == name] for name in missing}
        spelled = [" or ".join([name, *others[name]]) for name in missing]
        raise SourceError(f"{path}: columns missing: {', '.join(spelled)}; found: {', '.join(written) or 'nothing'}")
    return header


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 with a byte order mark; its newlines stay as they are.

    Raises:
        SourceError: unreadable, too large, with a NUL byte, or in another encoding.
    """
    try:
        return delimited.read_text(path)
    except DelimitedFileError as error:
        raise SourceError(str(error)) from error


def _lines(path: Path) -> Lines:
    if path.suffix.lower() == ".xlsx":
        return Lines(_sheet(path), ",")
    try:
        return delimited.read_lines(path)
    except DelimitedFileError as error:
        raise SourceError(str(error)) from error


def _sheet(path: Path) -> list[Line]:
    try:
        with ZipFile(path) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
        if unpacked > MAX_BYTES:
            raise SourceError(f"{path}: {unpacked:,} bytes unpacked; no list is larger than {MAX_BYTES:,}")
        lines = [(number, cells) for number, cells in enumerate(_cells(path), 1)]
    except SourceError:
        raise
    except (
        BadZipFile,
        KeyError,
        IndexError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        SyntaxError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        zlib.error,
    ) as error:
        raise SourceError(f"{path}: cannot be read as a spreadsheet ({error})") from error
    width = next((len(cells) for _, cells in lines if any(cells)), 0)
    return [(number, cells + [""] * (width - len(cells))) for number, cells in lines]


def _cells(path: Path) -> Iterator[list[str]]:
    """The rows of the first sheet, without the empty cells at their ends: a sheet does not say how wide it is."""
    import openpyxl

    count = 0
    with path.open("rb") as file:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()
        for row in sheet.iter_rows(values_only=True):
            count += len(row) + 1
            if count > MAX_CELLS:
                raise SourceError(f"{path}: more than {MAX_CELLS:,} cells; no list is that long")
            cells = [_written(path, cell) for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            yield cells


def _written(path: Path, cell: object) -> str:
    if cell is None:
        return ""
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
    if len(text) > MAX_CELL:
        raise SourceError(f"{path}: a cell of {len(text):,} characters; allowed are {MAX_CELL:,}")
    return text


def number_in(text: str, what: str, smallest: float, largest: float) -> float:
    """A measure that a list gives, in its unit.

    Args:
        what: what it is and of which image, for the message.
        smallest, largest: the range that it can have in life.

    Raises:
        SourceError: no number (such as "nan", "0,1" or "1_000"), or one out of the range.
    """
    if not NUMBER.fullmatch(text.strip()):
        raise SourceError(f"{what} is '{text}'; it must be a number, such as 0.25")
    value = float(text)
    if not smallest <= value <= largest:
        raise SourceError(f"{what} is {text}; it must be from {smallest:g} to {largest:g}")
    return value


def count_in(text: str, what: str, largest: int) -> int:
    """A whole number from 1 that a list gives, such as a width in pixels.

    Args:
        what: what it is and of which image, for the message.

    Raises:
        SourceError: anything else, such as "1,040", "1.000" or "0".
    """
    if not re.fullmatch(r"[0-9]{1,15}", text.strip()):
        raise SourceError(
            f"{what} is '{text}'; it must be a whole number of 1 or more, in digits alone (1040, no separator)"
        )
    if not 1 <= int(text) <= largest:
        raise SourceError(f"{what} is {text}; it must be from 1 to {largest}")
    return int(text)
