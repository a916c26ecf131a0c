"""Safe text for terminals and reports: control characters in names of files, patients or arms have no effect."""

import re
from typing import Any

from rich.console import Console
from rich.text import Text

_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
"""Control characters except line ends and tabs, separators of lines and paragraphs, surrogates."""

_DIRECTION = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Characters that change the direction of the text after them."""

_HIDDEN = re.compile(f"[{_CONTROL}{_DIRECTION}]")


def printable(text: str) -> str:
    r"""Return the text with control characters escaped, such as `\x1b`; line ends and tabs stay."""
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Join texts, each plain or with a style such as `("12", "bold")`, without interpreting markup."""
    return Text.assemble(
        *((printable(part), "") if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts)
    )


class PlainConsole(Console):
    """A console that does not interpret markup such as `[red]` or `:x:`, in tables neither. For styles use `styled`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as printable text."""
        return super().render_str(printable(text), **options)
