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


def track(items: Iterable[T], description: str, *, start: int = 0, total: int | None = None) -> Iterator[T]:
    """Yield `items`, with a bar on standard error while they are consumed.

    Args:
        start: how many are done already (a resumed run).
        total: how many there are in all; by default `len(items) + start`.
    """
    if not shown():
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items) + start
    columns = (TextColumn("  {task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=notes, transient=True) as bar:
        task = bar.add_task(printable(description), total=total, completed=start)
        for item in items:
            yield item
            bar.advance(task)


EVERY_S = 30.0
"""Seconds between two lines of a meter where there is no terminal."""


@contextmanager
def meter(description: str, *, unit: str, total: int, start: int = 0) -> Iterator[Callable[[int], None]]:
    """Show how far work is, its speed and the time left: by a bar, or by lines where there is no terminal.

    Yields a function to call with how many more items are done.

    Args:
        unit: name of the items, in the plural.
        start: how many are done already; they do not count for the speed.
    """
    done, begun = start, time.monotonic()
    last_line = begun

    def pace() -> str:
        passed = time.monotonic() - begun
        speed = (done - start) / passed if passed else 0.0
        left = f", {_duration((total - done) / speed)} left" if speed and done < total else ""
        return f"{speed:.2f} {unit}/s{left}" if done > start else ""

    def advance(count: int) -> None:
        nonlocal done, last_line
        done += count
        if task is not None:
            bar.update(task, completed=done, pace=pace())
        elif time.monotonic() - last_line > EVERY_S:
            last_line = time.monotonic()
            note(f"  {description}: {done} of {total} {unit}, {pace()}")

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
    if done > start:
        note(f"  {description}: {done} of {total} {unit}, {pace()}")


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    return f"{round(seconds)} s" if seconds < 100 else (f"{minutes} min" if minutes < 100 else f"{hours} h")
