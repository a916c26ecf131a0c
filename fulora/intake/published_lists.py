"""Published lists: CSV with `;` or `,`, a byte order mark, Windows newlines and blanks in names; or xlsx."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from fulora import progress
from fulora.data.tables import delimited
from fulora.data.tables.cells import NUMBER, clean_rows
from fulora.data.tables.column_names import HeaderError, rename_columns
from fulora.data.tables.delimited import MAX_BYTES, MAX_CELL, DelimitedFileError, Line, Lines, row_by_column
from fulora.intake.raw_image import DAMAGED_FILE_ERRORS, OnSkip, Result, SourceError, refuse

MAX_CELLS = 1_000_000


def read_rows(
    path: Path,
    columns: tuple[str, ...] = (),
    on_skip: OnSkip = refuse,
    renamed: Mapping[str, str] | None = None,
    *,
    optional: Collection[str] = (),
    measures: Collection[str] = (),
) -> list[tuple[int, dict[str, str]]]:
    """Read the rows of a .csv list, or of the first sheet of an .xlsx, each with the number of its last line.

    Names and values are stripped, empty rows are dropped, and a missing value (`NA`, `nan`, `-`, ...;
    `fulora.data.tables.cells`) becomes "", which is noted on standard error. In a sheet 1.0 is read as "1".

    Args:
        columns: required columns.
        on_skip: called for each row with more or fewer cells than the header.
        renamed: other names of columns, each with the name it gets.
        optional: optional columns. Case, blanks and punctuation of all these names are ignored.
        measures: columns of measures, in which a comma is a decimal point if it does not separate cells.

    Raises:
        SourceError: if there is no file, the text is not UTF-8, a column is missing or duplicate, there are no rows, a
            cell has more than 100,000 characters, a quote is not closed, or the list is too large.
    """
    if not path.is_file():
        raise SourceError(f"{path}: file not found")
    lines, separator = _lines(path)
    filled = [(number, cells) for number, cells in lines if any(cells)]
    header = _header(path, filled[0][1] if filled else [], columns, (*columns, *optional), renamed)
    if len(filled) == 1:
        raise SourceError(f"{path}: a header without rows; the list must name images")
    rows = []
    for number, cells in filled[1:]:
        if len(cells) == len(header):
            rows.append((number, row_by_column(header, cells)))
        else:
            on_skip(f"{path}, line {number}: {len(cells)} cells for {len(header)} columns: {', '.join(cells)[:200]}")
    tidy = clean_rows([row for _, row in rows], decimal_commas=measures if separator != "," else ())
    for note in tidy.notes:
        progress.note(f"{path}: {note}")
    return [(number, row) for (number, _), row in zip(rows, tidy.rows, strict=True)]


def convert_rows(
    path: Path,
    rows: Iterable[tuple[int, dict[str, str]]],
    key: str,
    convert: Callable[[dict[str, str]], Result],
    on_skip: OnSkip,
) -> Iterator[Result]:
    """Convert the rows of a list one after the other; duplicates and those that raise SourceError are skipped.

    Args:
        key: the column whose values must be unique.
    """
    lines: dict[str, int] = {}
    for number, row in rows:
        try:
            if lines.setdefault(row[key], number) != number:
                raise SourceError(f"{row[key]} is a duplicate of line {lines[row[key]]}; which one is right is unknown")
            result = convert(row)
        except SourceError as error:
            on_skip(f"{path}, line {number}: {error}")
        else:
            yield result


def read_header(path: Path) -> list[str]:
    """Return the column names of a list; empty if it cannot be read as a list."""
    try:
        lines = _lines(path).lines
    except SourceError:
        return []
    return next((cells for _, cells in lines if any(cells)), [])


def _header(
    path: Path, written: list[str], needed: Collection[str], known: Collection[str], renamed: Mapping[str, str] | None
) -> list[str]:
    try:
        header = rename_columns(written, known, renamed)
    except HeaderError as error:
        raise SourceError(f"{path}: {error}") from error
    missing = [name for name in needed if name not in header]
    if missing:
        others = {name: [other for other, to in (renamed or {}).items() if to == name] for name in missing}
        spelled = [" or ".join([name, *others[name]]) for name in missing]
        raise SourceError(f"{path}: missing columns: {', '.join(spelled)}; its columns: {', '.join(written) or 'none'}")
    return header


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark; newlines are not changed.

    Raises:
        SourceError: if it is unreadable, too large, in another encoding, or holds a NUL byte.
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
    except (BadZipFile, *DAMAGED_FILE_ERRORS) as error:
        raise SourceError(f"{path}: cannot be read as a spreadsheet ({error})") from error
    width = next((len(cells) for _, cells in lines if any(cells)), 0)
    return [(number, cells + [""] * (width - len(cells))) for number, cells in lines]


def _cells(path: Path) -> Iterator[list[str]]:
    """Yield the rows of the first sheet, without empty cells at their ends: the width of a sheet is not stored."""
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
            cells = [_cell_text(path, cell) for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            yield cells


def _cell_text(path: Path, cell: object) -> str:
    if cell is None:
        return ""
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
    if len(text) > MAX_CELL:
        raise SourceError(f"{path}: a cell of {len(text):,} characters; allowed are {MAX_CELL:,}")
    return text


def number_in(text: str, what: str, smallest: float, largest: float) -> float:
    """Parse a measure of a list.

    Args:
        smallest, largest: its plausible range.

    Raises:
        SourceError: if it is not a number (such as "nan", "0,1" or "1_000"), or out of range.
    """
    if not NUMBER.fullmatch(text.strip()):
        raise SourceError(f"{what} is '{text}'; it must be a number, such as 0.25")
    value = float(text)
    if not smallest <= value <= largest:
        raise SourceError(f"{what} is {text}; it must be from {smallest:g} to {largest:g}")
    return value


def count_in(text: str, what: str, largest: int) -> int:
    """Parse a whole number of 1 or more of a list, such as a width in pixels.

    Raises:
        SourceError: if it is anything else, such as "1,040", "1.000" or "0".
    """
    if not re.fullmatch(r"[0-9]{1,15}", text.strip()):
        raise SourceError(f"{what} is '{text}'; it must be a whole number from 1, in digits alone (1040)")
    if not 1 <= int(text) <= largest:
        raise SourceError(f"{what} is {text}; it must be from 1 to {largest}")
    return int(text)
