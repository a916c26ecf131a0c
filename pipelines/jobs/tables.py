"""A result as a table: printed by a command, shown in a notebook, read as a data frame."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable

from fulora.terminal import printable

if TYPE_CHECKING:
    from pandas import DataFrame

Cell = str | int | float | None

INTERVAL = re.compile(r" (\[[-+.\d]+, [-+.\d]+\])$")
"""At the end of a cell, [low, high] of the value before it."""


@dataclass(frozen=True)
class Table:
    """Rows of cells under column names.

    Attributes:
        title: one line above the table.
        rows: one mapping a row; columns are the keys of the first one, in order. None is an empty cell.
        notes: lines below the table.
    """

    title: str
    rows: Sequence[Mapping[str, Cell]]
    notes: Sequence[str] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns; none without rows."""
        return tuple(self.rows[0]) if self.rows else ()

    def to_pandas(self) -> "DataFrame":
        """Return the rows as a pandas data frame; numbers are not rounded."""
        import pandas

        return pandas.DataFrame([dict(row) for row in self.rows], columns=list(self.columns))

    def to_json(self) -> dict[str, Any]:
        """Return the title, the rows and the notes as JSON; numbers are not rounded."""
        return {"title": self.title, "rows": [dict(row) for row in self.rows], "notes": list(self.notes)}

    def to_rich(self) -> RichTable:
        """Return the rows for a terminal: texts wrap between words, numbers and intervals do not."""
        table = RichTable(box=None, pad_edge=False)
        for column in self.columns:
            numeric = self._is_numeric(column)
            table.add_column(
                printable(column),
                justify="right" if numeric else "left",
                no_wrap=numeric,
                min_width=self._longest_part(column),
            )
        for row in self.rows:
            table.add_row(*(_on_lines(row.get(column)) for column in self.columns))
        return table

    def to_rich_records(self) -> RichTable:
        """Return a line for each cell, for terminals that are too narrow for the columns."""
        table = RichTable.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for number, row in enumerate(self.rows):
            if number:
                table.add_row()
            for column in self.columns:
                table.add_row(printable(column), printable(_text(row.get(column))))
        return table

    def _repr_html_(self) -> str:
        """Return the table as HTML, which notebooks show."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_text(row.get(column)))}</td>" for column in self.columns) + "</tr>"
            for row in self.rows
        )
        notes = "".join(f"<p>{escape(line)}</p>" for line in self.notes)
        return f"<table><caption>{escape(self.title)}</caption><tr>{head}</tr>{body}</table>{notes}"

    def _longest_part(self, column: str) -> int:
        """The length of the longest word or interval of a column, which is never broken."""
        texts = [column, *(_text(row.get(column)) for row in self.rows)]
        parts = (part for text in texts for part in [*INTERVAL.sub("", text).split(), *INTERVAL.findall(text)])
        return max(map(len, map(printable, parts)), default=1)

    def _is_numeric(self, column: str) -> bool:
        return all(isinstance(row.get(column), int | float | None) for row in self.rows)


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _on_lines(cell: Cell) -> str:
    """The text of a cell, its interval on a line of its own."""
    return INTERVAL.sub(r"\n\1", printable(_text(cell)))
