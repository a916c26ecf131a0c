"""Lists as they are published: CSV with a byte order mark, Windows newlines, `;` or `,`, blanks in names; or xlsx."""

import csv
import io
from pathlib import Path

from fulora.intake.raw import SourceError

MAX_CELL = 100_000
SEPARATORS = (",", ";", "\t")


def read_table(path: Path, columns: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """The rows of a .csv or .xlsx list; names and values lose the blanks around them, empty rows are left out.

    Args:
        columns: names that must be there.

    Raises:
        SourceError: no file, text that is not UTF-8, a column that is missing or stands twice, a row with more or fewer
            cells than the header, or a cell of more than 100,000 characters.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not there")
    lines = _sheet(path) if path.suffix.lower() == ".xlsx" else _csv(path)
    lines = [[cell.strip() for cell in line] for line in lines]
    numbered = [(number, line) for number, line in enumerate(lines, 1) if any(line)]
    header = numbered[0][1] if numbered else []
    missing = [name for name in columns if name not in header]
    if missing:
        raise SourceError(f"{path}: columns missing: {', '.join(missing)}; found: {', '.join(header) or 'nothing'}")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise SourceError(f"{path}: columns that stand twice: {', '.join(twice)}; which one counts cannot be known")
    for number, line in numbered:
        if len(line) != len(header):
            raise SourceError(f"{path}, line {number}: {len(line)} cells for {len(header)} columns")
    return [dict(zip(header, line, strict=True)) for _, line in numbered[1:]]


def _csv(path: Path) -> list[list[str]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{content[error.start]:02x} at offset {error.start} is not UTF-8"
        raise SourceError(f"{path}: {wrong}; save the list as UTF-8") from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=first.count)
    csv.field_size_limit(MAX_CELL)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise SourceError(f"{path}: cannot be read as a list ({error})") from error


def _sheet(path: Path) -> list[list[str]]:
    from zipfile import BadZipFile

    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, KeyError, OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read as a spreadsheet ({error})") from error
    try:
        rows = book.worksheets[0].iter_rows(values_only=True)
        return [["" if cell is None else str(cell) for cell in row] for row in rows]
    finally:
        book.close()
