"""Text on a terminal or in a report is shown as it is: no name of a file, patient or arm moves the cursor or hides."""

import re
from typing import Any

from rich.console import Console
from rich.text import Text

_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
"""Control characters less line ends and tabs, separators of lines and paragraphs, halves of characters."""

_TURNING = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Characters that turn the direction of what follows, and so show a text as another."""

_HIDDEN = re.compile(f"[{_CONTROL}{_TURNING}]")


def printable(text: str) -> str:
    r"""The text with control characters written out, an escape as `\x1b`; line ends and tabs stay."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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
