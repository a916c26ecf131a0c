"""Bars: nothing of the items is lost, and nothing is drawn where nobody looks."""

import io
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from fulora import progress
from fulora.terminal import PlainConsole


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard error as a terminal that remembers what it was given."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=screen))
    monkeypatch.setattr(progress, "notes", PlainConsole(file=screen, force_terminal=True, width=80))
    return screen


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


@dataclass
class Clock:
    """Time that passes when it is told to, s."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(progress, "time", fake)
    return fake


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Standard error as a file, and the lines that are written into it."""
    screen = io.StringIO()
    written: list[str] = []
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=screen))
    monkeypatch.setattr(progress, "note", written.append)
    return written


def test_a_long_loop_in_a_log_has_a_line_a_minute(clock: Clock, lines: list[str]) -> None:
    for _ in progress.track(range(150), "things", start=50):  # one a second
        clock.now += 1
    assert lines == ["  things: 111 of 200, 89 s left", "  things: 172 of 200, 28 s left"]


def test_a_loop_of_unknown_length_has_lines_too(clock: Clock, lines: list[str]) -> None:
    for _ in progress.track(iter(range(62)), "things"):
        clock.now += 1
    assert lines == ["  things: 61"]


def test_a_meter_tells_speed_and_time_left_every_minute(clock: Clock, lines: list[str]) -> None:
    with progress.meter("synthetic", unit="images", total=1000) as advance:
        for _ in range(100):  # one a second
            clock.now += 1
            advance(1)
        clock.now += 20  # and a slow one
        advance(1)
    assert lines == [
        "  synthetic: 61 of 1000 images, 1.00 images/s, 16 min left",
        "  synthetic: 101 of 1000 images, 0.84 images/s, 18 min left",
    ]


def test_what_was_done_before_does_not_count_for_the_speed(clock: Clock, lines: list[str]) -> None:
    with progress.meter("synthetic", unit="images", total=1000, start=900) as advance:
        clock.now += 80
        advance(40)
        clock.now += 1
        advance(60)
    assert lines == [
        "  synthetic: 940 of 1000 images, 0.50 images/s, 2 min left",
        "  synthetic: 1000 of 1000 images, 1.23 images/s",
    ]


def test_a_meter_says_nothing_when_nothing_was_done(clock: Clock, lines: list[str]) -> None:
    with progress.meter("synthetic", unit="images", total=8, start=8):
        clock.now += 100
    assert lines == []


def test_a_meter_has_no_speed_before_time_has_passed(clock: Clock, lines: list[str]) -> None:
    with progress.meter("synthetic", unit="images", total=8) as advance:
        advance(8)
    assert lines == ["  synthetic: 8 of 8 images, 0.00 images/s"]


def test_work_that_fails_has_no_last_line(clock: Clock, lines: list[str]) -> None:
    def failing() -> None:
        with progress.meter("synthetic", unit="images", total=8) as advance:
            advance(1)
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        failing()
    assert lines == []


def test_a_terminal_sees_a_bar_with_speed_and_time_left(clock: Clock, terminal: io.StringIO) -> None:
    with progress.meter("synthetic", unit="images", total=200, start=100) as advance:
        clock.now += 10
        advance(50)
    shown = terminal.getvalue()
    assert "150/200" in shown
    assert "5.00 images/s, 10 s left" in shown
    assert "  synthetic: 150 of 200 images, 5.00 images/s, 10 s left" in shown  # after the bar has gone


def test_notes_are_silent_inside_a_block_and_as_before_after_it(terminal: io.StringIO) -> None:
    for on in (True, False):
        progress.show(on)
        with progress.silent():
            progress.note("inside")
        progress.note("after")
    progress.console.print("always")
    assert terminal.getvalue() == "after\n"


def test_one_switch_silences_meters_too(clock: Clock, terminal: io.StringIO) -> None:
    progress.show(False)
    with progress.meter("synthetic", unit="images", total=8) as advance:
        clock.now += 100
        advance(8)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (5000, "83 min"),
        (5969, "99 min"),
        (6000, "2 h"),
        (360000, "100 h"),
    ],
)
def test_times_have_the_most_readable_unit(clock: Clock, lines: list[str], seconds: float, said: str) -> None:
    with progress.meter("synthetic", unit="images", total=2) as advance:
        clock.now += seconds
        advance(1)
    assert lines[-1].endswith(f", {said} left")
