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
        """Return the rows for a terminal: texts wrap, numbers do not."""
        table = RichTable(box=None, pad_edge=False)
        for column in self.columns:
            numeric = self._is_numeric(column)
            table.add_column(
                printable(column),
                justify="right" if numeric else "left",
                no_wrap=numeric,
                min_width=self._interval_width(column),
                overflow="ellipsis" if numeric else "fold",
            )
        for row in self.rows:
            cells = (printable(_text(row.get(column))) for column in self.columns)
            table.add_row(*(INTERVAL.sub(r"\n\1", cell) for cell in cells))
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

    def _interval_width(self, column: str) -> int:
        """The length of the longest [low, high] in the cells of a column, which has a line of its own."""
        intervals = (INTERVAL.findall(_text(row.get(column))) for row in self.rows)
        return max((len(interval) for found in intervals for interval in found), default=1)

    def _is_numeric(self, column: str) -> bool:
        return all(isinstance(row.get(column), int | float | None) for row in self.rows)


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
