"""The terminal: texts are shown as they are, whatever stands in them."""

import io

import pytest
from rich.table import Table

from fulora import progress
from fulora.terminal import PlainConsole, printable, styled

MARKUP = ("[red]x[/red]", "[/]", "[bold", "[link=http://x.example]y", ":x: :warning:", "{x}", "\\[a]", "[@click=x]y[/]")


def printed(*things: object, terminal: bool = True) -> str:
    screen = io.StringIO()
    console = PlainConsole(file=screen, force_terminal=terminal, width=200, color_system="standard")
    for thing in things:
        console.print(thing)
    return screen.getvalue()


@pytest.mark.parametrize("text", MARKUP)
def test_markup_is_no_markup(text: str) -> None:
    table = Table(text, box=None, header_style="")
    table.add_row(text)
    assert printed(text, terminal=False) == f"{text}\n"
    assert printed(table, terminal=False).split() == [*text.split(), *text.split()]
    assert printed(styled((text, "bold"), " ", text)) == f"\x1b[1m{text}\x1b[0m {text}\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x1b[0m", r"a\x1b[31mb\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("over\rwritten", r"over\rwritten"),
        ("back\x08\x08", r"back\x08\x08"),
        ("\x9b2J", r"\x9b2J"),
        ("gnp\u202egpj.exe", r"gnp\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("a\u2028b", r"a\u2028b"),
        ("Größe 胎児", "Größe 胎児"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(f"{text}\n{text}") == f"{shown}\n{shown}"
    assert printable("a\tb") == "a\tb"
    assert printed(text, styled(text)) == f"{shown}\n{shown}\n"


def test_notes_and_bars_show_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "notes", PlainConsole(file=screen, force_terminal=True, width=200))
    monkeypatch.setattr(progress, "shown", lambda: True)
    progress.note("[/] [red]a\x1b[2J")
    assert list(progress.track([1, 2], "[/] [red]b\x1b[2J")) == [1, 2]
    with progress.meter("[/]c", unit="[x]", total=1) as advance:
        advance(1)
    assert "[/] [red]a\\x1b[2J" in screen.getvalue()
    assert "[/] [red]b\\x1b[2J" in screen.getvalue()
    assert "[/]c" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()
