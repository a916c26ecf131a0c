"""Bars: nothing of the items is lost, and nothing is drawn where nobody looks."""

import io
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from rich.console import Console

from fulora import progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Standard error as a terminal that remembers what it was given."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=screen))
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=80))
    yield screen
    progress.show(True)


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(range(3), "things")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_what_is_done_of_how_many(terminal: io.StringIO) -> None:
    assert list(progress.track(range(3), "things", start=2)) == [0, 1, 2]
    assert "things" in terminal.getvalue()
    assert "5/5" in terminal.getvalue()


def test_a_total_may_be_given_for_what_has_no_length(terminal: io.StringIO) -> None:
    assert list(progress.track(iter("ab"), "letters", total=2)) == ["a", "b"]
    assert "2/2" in terminal.getvalue()


def test_one_switch_silences_every_bar(terminal: io.StringIO) -> None:
    progress.show(False)
    assert list(progress.track(range(3), "things")) == [0, 1, 2]
    assert terminal.getvalue() == ""
