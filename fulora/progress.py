"""Progress bars: one switch for the whole process, so that `--quiet` and `--json` silence every loop."""

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

console = Console(stderr=True)
_shown = True


def show(on: bool) -> None:
    """Switch bars on or off for this process. Without a terminal there are none in any case."""
    global _shown
    _shown = on


def shown() -> bool:
    """Whether bars are drawn: not switched off, and there is a terminal."""
    return _shown and sys.stderr.isatty()


def note(text: str) -> None:
    """A line on standard error, where notes are not switched off."""
    if _shown:
        console.print(text, soft_wrap=True, highlight=False, markup=False)


def track(items: Iterable[T], description: str, *, start: int = 0, total: int | None = None) -> Iterator[T]:
    """`items`, with a bar on standard error while they are consumed.

    Args:
        start: how many are done already (a resumed run).
        total: how many there are in all; taken from `len(items) + start` where it is not given.
    """
    if not shown():
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items) + start
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(description, total=total, completed=start)
        for item in items:
            yield item
            bar.advance(task)
