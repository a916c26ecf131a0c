"""Text on a terminal is shown as it is: no name of a file, patient or arm moves the cursor or hides anything."""

import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows, and so show a text as another."""


def printable(text: str) -> str:
    r"""The text with control characters written out, an escape as `\x1b`; line ends and tabs stay."""
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    hidden = unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter in _TURNING
    return letter.encode("unicode_escape").decode() if hidden and letter not in "\n\t" else letter


def styled(*parts: str | tuple[str, str]) -> Text:
    """Texts one after another, each shown as it is, alone or with a style: `("12", "bold")`."""
    return Text.assemble(
        *((printable(part), "") if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts)
    )


class PlainConsole(Console):
    """A console that shows every string as it is, in tables too: `[red]` and `:x:` are no markup. Styles: `styled`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as text to show."""
        return super().render_str(printable(text), **options)
