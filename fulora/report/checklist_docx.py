"""A checklist as a Word file, which journals ask for."""

from pathlib import Path

from fulora.files import atomic_file
from fulora.report.checklist import HEAD, Checklist

WIDTHS_CM = (1.2, 2.6, 4.2, 7.5, 3.6, 3.4)
"""Of the columns, on a sheet in landscape."""


def write_docx(path: Path, checklist: Checklist) -> None:
    """Write the checklist as a table in landscape.

    Raises:
        ValueError: if python-docx is not installed.
    """
    try:
        import docx
        from docx.enum.section import WD_ORIENT
        from docx.shared import Cm
    except ImportError as error:
        raise ValueError("a .docx file needs python-docx: pip install 'fulora[docx]'; or write .html or .md") from error
    document = docx.Document()
    section = document.sections[0]
    section.orientation = WD_ORIENT.LANDSCAPE
    section.page_width, section.page_height = section.page_height, section.page_width
    document.add_heading(checklist.standard.title, 1)
    document.add_paragraph(f"{checklist.summary}.")
    table = document.add_table(rows=1, cols=len(HEAD), style="Table Grid")
    for row in (HEAD, *checklist.rows):
        cells = (table.rows[0] if row is HEAD else table.add_row()).cells
        for cell, text, width in zip(cells, row, WIDTHS_CM, strict=True):
            cell.text, cell.width = text, Cm(width)
    document.add_paragraph(f"Standard: {checklist.standard.citation}. Items are in our words.")
    with atomic_file(path) as new:
        document.save(str(new))
