"""Lists of lines in messages, shortened."""

from collections.abc import Sequence


def shorten_lines(lines: Sequence[str], most: int = 10) -> list[str]:
    """Return the first lines of a message, and how many more there are."""
    return [*lines[:most], *([f"... and {len(lines) - most} more"] if len(lines) > most else [])]
