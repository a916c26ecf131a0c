"""Plain tables on a terminal: bold headers, no lines."""

from collections.abc import Sequence

from rich.table import Table


def build_table(texts: Sequence[str], numbers: Sequence[str] = (), min_width: int | None = None) -> Table:
    """Return a table of columns of texts, which may wrap, then of numbers, which may not."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for text in texts:
        table.add_column(text, min_width=min_width, overflow="fold")
    for number in numbers:
        table.add_column(number, no_wrap=True)
    return table
