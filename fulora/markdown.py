"""Text from outside in Markdown: shown as it is, whatever marks, tags or line ends stand in it."""

import re
from collections.abc import Iterable, Sequence


def escaped_markdown(text: str, brackets: bool = False) -> str:
    """Plain text that Markdown shows as it is, on one line.

    Args:
        brackets: escape every bracket, as the text of a link or a picture needs.
    """
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_|~\[\]])" if brackets else r"([\\`*_|~])", r"\\\1", text).replace("](", "]\\(")
    text = re.sub(r"^(\[[^\]]*\]:)", r"\\\1", text)  # the definition of a link's address, which is not shown
    return re.sub(r"^(\d+)([.)] )", r"\1\\\2", re.sub(r"^([#+-])", r"\\\1", text))


def code(text: str) -> str:
    """Text as one line of code."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if "`" in line else ""
    return f"{fence}{space}{line}{space}{fence}"


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table; its cells are Markdown already, of one line each."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", str(cell)) for cell in row) + " |" for row in rows)
