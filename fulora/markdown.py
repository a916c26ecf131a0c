"""Escaping of text from outside in Markdown."""

import re
from collections.abc import Iterable, Sequence


def escaped_markdown(text: str, brackets: bool = False) -> str:
    """Escape plain text, so that Markdown shows it unchanged, on one line.

    Args:
        brackets: escape every bracket, for the text of a link or an image.
    """
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_|~\[\]])" if brackets else r"([\\`*_|~])", r"\\\1", text).replace("](", "]\\(")
    text = re.sub(r"^(\[[^\]]*\]:)", r"\\\1", text)  # the definition of a link, which is not rendered
    return re.sub(r"^(\d+)([.)] )", r"\1\\\2", re.sub(r"^([#+-])", r"\\\1", text))


def code(text: str) -> str:
    """Format text as one line of code."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if "`" in line else ""
    return f"{fence}{space}{line}{space}{fence}"


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Format a table, whose cells are Markdown of one line each."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", str(cell)) for cell in row) + " |" for row in rows)
