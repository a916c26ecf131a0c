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
_shown = True


def show(on: bool) -> None:
    """Switch bars on or off for this process. Without a terminal there are none in any case."""
    global _shown
    _shown = on


def shown() -> bool:
    """Whether bars are drawn: not switched off, and there is a terminal."""
    return _shown and sys.stderr.isatty()


@contextmanager
def silent() -> Iterator[None]:
    """No bars and no notes inside, for what is read once more and has been told, or will be."""
    before = _shown
    show(False)
    try:
        yield
    finally:
        show(before)


def note(text: str) -> None:
    """A line on standard error, where notes are not switched off."""
    if _shown:
        console.print(text, soft_wrap=True)


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
    columns = (TextColumn("  {task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(printable(description), total=total, completed=start)
        for item in items:
            yield item
            bar.advance(task)


EVERY_S = 30.0
"""Seconds between two lines of a meter where there is no terminal."""


@contextmanager
def meter(description: str, *, unit: str, total: int, start: int = 0) -> Iterator[Callable[[int], None]]:
    """Tell how far work is, how fast it goes and how long it takes still: a bar, or lines where there is no terminal.

    Yields a function that is called with how many more are done.

    Args:
        unit: what is counted, in the plural.
        start: how many are done already; they do not count for the speed.
    """
    done, begun = start, time.monotonic()
    told = begun

    def pace() -> str:
        passed = time.monotonic() - begun
        speed = (done - start) / passed if passed else 0.0
        left = f", {_duration((total - done) / speed)} left" if speed and done < total else ""
        return f"{speed:.2f} {unit}/s{left}" if done > start else ""

    def advance(count: int) -> None:
        nonlocal done, told
        done += count
        if task is not None:
            bar.update(task, completed=done, pace=pace())
        elif time.monotonic() - told > EVERY_S:
            told = time.monotonic()
            note(f"  {description}: {done} of {total} {unit}, {pace()}")

    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}", markup=False),
    )
    task = None
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not shown()) as bar:
        if shown():
            task = bar.add_task(printable(description), total=total, completed=start, pace="")
        yield advance
    if done > start:
        note(f"  {description}: {done} of {total} {unit}, {pace()}")


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    return f"{round(seconds)} s" if seconds < 100 else (f"{minutes} min" if minutes < 100 else f"{hours} h")
