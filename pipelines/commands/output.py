"""Output of commands: the `--json` option, and plain tables on a terminal."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.measure import Measurement
from rich.table import Table as RichTable

from fulora.terminal import PlainConsole
from pipelines.jobs.tables import Table

WIDEST = 10_000
"""Characters in a line, more than any table has."""


def write_json(json_file: Path | None, facts: Any) -> bool:
    """Write facts to a file, or print them if it is `-`.

    Returns:
        Whether they were printed, so that nothing else is.
    """
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    if str(json_file) == "-":
        print(text)
        return True
    if json_file is not None:
        json_file.write_text(text + "\n", encoding="utf-8")
    return False


def build_table(texts: Sequence[str], numbers: Sequence[str] = (), min_width: int | None = None) -> RichTable:
    """Return a table of columns of texts, which may wrap, then of numbers, which may not."""
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for text in texts:
        table.add_column(text, min_width=min_width, overflow="fold")
    for number in numbers:
        table.add_column(number, no_wrap=True)
    return table


def print_table(table: Table) -> None:
    """Print the table of a result on standard output: a line for each cell where the columns do not fit a terminal."""
    console, shown = PlainConsole(), table.to_rich()
    needed = Measurement.get(console, console.options.update(max_width=WIDEST), shown)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = max(console.width, needed.maximum)  # a file or a pipe is as wide as the table
    console.print(table.title, soft_wrap=True)
    console.print(shown if needed.minimum <= console.width else table.to_rich_records())
    for line in table.notes:
        console.print(line, soft_wrap=True)
