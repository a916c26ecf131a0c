"""Progress bars: one switch for the whole process, so that `--quiet` and `--json` silence every loop."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fulora.terminal import PlainConsole, printable

T = TypeVar("T")

console = PlainConsole(stderr=True)
"""For messages that are always printed."""

notes = PlainConsole(stderr=True)
"""For bars and notes, which `show` switches on and off."""


def show(on: bool) -> None:
    """Switch bars and notes on or off for this process. Without a terminal there are no bars in any case."""
    notes.quiet = not on


def shown() -> bool:
    """Return whether bars are shown: they are switched on, and there is a terminal."""
    return not notes.quiet and sys.stderr.isatty()


@contextmanager
def silent() -> Iterator[None]:
    """Show no bars and no notes inside, where the same has been reported already or will be."""
    before = notes.quiet
    notes.quiet = True
    try:
        yield
    finally:
        notes.quiet = before


def note(text: str) -> None:
    """Print a line on standard error, unless notes are switched off."""
    notes.print(text, soft_wrap=True)


EVERY_S = 60.0
"""Seconds between two lines on a loop where there is no terminal."""


class _Pace:
    """How far a loop is, and a line on it every minute where there is no terminal.

    Args:
        unit: name of the items, in the plural, with a blank before it; "" shows no speed.
        total: how many there are in all; None if that is not known.
        start: how many are done already; they do not count for the speed.
    """

    def __init__(self, description: str, unit: str, total: int | None, start: int) -> None:
        self.description, self.unit, self.total, self.start = description, unit, total, start
        self.done = start
        self.begun = self.last_line = time.monotonic()

    def advance(self, count: int) -> None:
        """Count items as done."""
        self.done += count
        if time.monotonic() - self.last_line > EVERY_S and not shown():
            self.last_line = time.monotonic()
            note(self.line())

    def line(self) -> str:
        """The description, what is done of how many, and the pace."""
        total = "" if self.total is None else f" of {self.total}"
        return f"  {self.description}: {self.done}{total}{self.unit}" + (f", {self.text()}" if self.text() else "")

    def text(self) -> str:
        """The speed, and the time left; "" before anything is done."""
        passed = time.monotonic() - self.begun
        speed = (self.done - self.start) / passed if passed else 0.0
        left = "" if not speed or self.total is None or self.done >= self.total else self._left(speed)
        per_second = f"{speed:.2f}{self.unit}/s" if self.unit and self.done > self.start else ""
        return ", ".join(filter(None, (per_second, left)))

    def _left(self, speed: float) -> str:
        return f"{duration(((self.total or 0) - self.done) / speed)} left"


def track(items: Iterable[T], description: str, *, start: int = 0, total: int | None = None) -> Iterator[T]:
    """Yield `items`, with a bar on standard error while they are consumed; without a terminal, a line every minute.

    Args:
        start: how many are done already (a resumed run).
        total: how many there are in all; by default `len(items) + start`.
    """
    if total is None and isinstance(items, Sized):
        total = len(items) + start
    pace = _Pace(description, "", total, start)
    columns = (TextColumn("  {task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=notes, transient=True, disable=not shown()) as bar:
        task = bar.add_task(printable(description), total=total, completed=start) if shown() else None
        for item in items:
            yield item
            pace.advance(1)
            if task is not None:
                bar.advance(task)


@contextmanager
def meter(description: str, *, unit: str, total: int, start: int = 0) -> Iterator[Callable[[int], None]]:
    """Show how far work is, its speed and the time left: by a bar, or by a line every minute without a terminal.

    A last line tells the speed of all. Yields a function to call with how many more items are done.

    Args:
        unit: name of the items, in the plural.
        start: how many are done already; they do not count for the speed.
    """
    pace = _Pace(description, f" {unit}", total, start)

    def advance(count: int) -> None:
        pace.advance(count)
        if task is not None:
            bar.update(task, completed=pace.done, pace=pace.text())

    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}", markup=False),
    )
    task = None
    with Progress(*columns, TimeElapsedColumn(), console=notes, transient=True, disable=not shown()) as bar:
        if shown():
            task = bar.add_task(printable(description), total=total, completed=start, pace="")
        yield advance
    if pace.done > start:
        note(pace.line())


def duration(seconds: float) -> str:
    """Return a time in the unit that reads best, such as `99 s`, `83 min` or `2 h`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    return f"{round(seconds)} s" if seconds < 100 else (f"{minutes} min" if minutes < 100 else f"{hours} h")
