"""A diagram of boxes and arrows as SVG. The page's style sheet colours it; as a file of its own it is gray on white."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from fulora.terminal import printable

COLUMN_PX, GAP_PX, ROW_GAP_PX = 270, 30, 46
PAD_PX, LINE_PX, LETTERS = 12, 18, 36
"""Space inside a box, height of a line of text, and the letters that fit in a column."""


@dataclass(frozen=True)
class Box:
    """A box in column and row of a grid, `span` columns wide: a title in bold, and lines that are wrapped."""

    column: int
    row: int
    title: str
    lines: tuple[str, ...]
    span: int = 1

    @property
    def wrapped(self) -> list[str]:
        """All lines as they are drawn, the title first."""
        letters = LETTERS * self.span + 3 * (self.span - 1)
        lines = [part for line in self.lines for part in textwrap.wrap(line, letters) or [""]]
        return [*textwrap.wrap(self.title, letters - 3), *lines]

    @property
    def height(self) -> int:
        """In pixels."""
        return 2 * PAD_PX + LINE_PX * len(self.wrapped)

    @property
    def left(self) -> int:
        """In pixels."""
        return self.column * (COLUMN_PX + GAP_PX)

    @property
    def width(self) -> int:
        """In pixels."""
        return self.span * COLUMN_PX + (self.span - 1) * GAP_PX


def draw_diagram(boxes: Sequence[Box], arrows: Iterable[tuple[int, int]], title: str) -> bytes:
    """Draw boxes in a grid, and arrows between them.

    Args:
        arrows: pairs of places in `boxes`, from a box to one of a later row, or to its right neighbour.
        title: what a screen reader says.
    """
    rows = sorted({box.row for box in boxes})
    heights = {row: max(box.height for box in boxes if box.row == row) for row in rows}
    tops, y = {}, 1
    for row in rows:
        tops[row] = y
        y += heights[row] + ROW_GAP_PX
    width, height = max(box.left + box.width for box in boxes) + 2, y - ROW_GAP_PX + 1
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="14">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#5f6b7a"/></marker></defs>',
        *(_box(box, tops[box.row], heights[box.row]) for box in boxes),
        *(_arrow(boxes[start], boxes[end], tops, heights) for start, end in arrows),
        "</svg>",
    ]
    return printable("\n".join(parts)).encode() + b"\n"


def _box(box: Box, top: int, height: int) -> str:
    lines = list(_lines(box, top))
    return (
        f'<rect x="{box.left}" y="{top}" width="{box.width}" height="{height}" rx="8" fill="#fff" stroke="#5f6b7a"/>\n'
        + "\n".join(lines)
    )


def _lines(box: Box, top: int) -> Iterator[str]:
    bold = len(textwrap.wrap(box.title, LETTERS * box.span + 3 * (box.span - 1) - 3))
    for number, line in enumerate(box.wrapped):
        weight = ' font-weight="700"' if number < bold else ""
        y = top + PAD_PX + LINE_PX * number + 13
        yield f'<text x="{box.left + PAD_PX}" y="{y}"{weight} fill="#1f2933">{escape(line)}</text>'


def _arrow(start: Box, end: Box, tops: dict[int, int], heights: dict[int, int]) -> str:
    if start.row == end.row:
        y = tops[start.row] + heights[start.row] // 2
        path = f"M{start.left + start.width} {y}H{end.left - 1}"
    else:
        left, right = max(start.left, end.left), min(start.left + start.width, end.left + end.width)
        bottom, top = tops[start.row] + heights[start.row], tops[end.row]
        if left < right:
            path = f"M{(left + right) // 2} {bottom}V{top - 1}"
        else:
            at, to = start.left + start.width - 40, end.left + 40
            path = f"M{at} {bottom}V{bottom + ROW_GAP_PX // 2}H{to}V{top - 1}"
    return f'<path d="{path}" fill="none" stroke="#5f6b7a" stroke-width="1.5" marker-end="url(#tip)"/>'
