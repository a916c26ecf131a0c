"""Tables of a report: scores with their intervals and what they were computed from, as text, CSV and Markdown."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fulora.data.score import Score
from fulora.data.tables.delimited import csv_text
from fulora.markdown import escaped_markdown
from fulora.metrics.image_groups import ALL_IMAGES, ImageGroup
from fulora.report import score_text
from fulora.report.number_format import MISSING
from fulora.terminal import printable

MAX_SCORE_COLUMNS = 5
_NUMBER = re.compile(r"[−+]?[\d,]*\.?\d+(e[−+]?\d+)?( \[.*\])?( (mm|deg|px|%))?( \(n = \d+\))?( [⁰¹²³⁴-⁹]+)?")
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Cells = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""Header and rows."""


class TableError(ValueError):
    """A table that cannot be built from the given scores or cells."""


@dataclass(frozen=True)
class Table:
    """A table as readers see it.

    Attributes:
        header: one name a column.
        rows: rounded text, a cell per column; a number may have an interval and a note, `0.812 [0.790, 0.834] ¹`.
        notes: lines below the table.
        raw: the lines of the CSV file, header first, unrounded; by default header and rows.
    """

    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    raw: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.header or not self.rows:
            raise TableError(f"table '{self.title}' is empty: it needs at least one column and one row")
        for row in self.rows:
            if len(row) != len(self.header):
                wrong = f"a row has {len(row)} cells for {len(self.header)} columns"
                raise TableError(f"table '{self.title}': {wrong}: {row}")

    @property
    def numeric(self) -> tuple[bool, ...]:
        """For each column, whether its cells are numbers or missing: such columns align right."""
        columns = zip(*self.rows, strict=True)
        return tuple(all(cell == MISSING or _NUMBER.fullmatch(cell) for cell in column) for column in columns)


def score_table(scores: Sequence[Score], title: str, caption: str) -> Table:
    """Build a table of scores: value [low, high], numbers of images, patients and seeds, protocol, and notes.

    It has a line for each arm and up to `MAX_SCORE_COLUMNS` columns of scores; with more kinds of score, or only one
    arm, a line for each score. Scores of different images, patients or seeds are never on one line. The CSV has every
    field of every score, unrounded.

    Raises:
        TableError: if there are no scores, or two for the same cell.
    """
    if not scores:
        raise TableError(f"table '{title}' has no scores")
    repeats = [key for key, n in Counter((*_line(score), *_kind(score)) for score in scores).items() if n > 1]
    if repeats:
        raise TableError(f"table '{title}': two scores for one cell: {repeats[0]}")
    kinds = list(dict.fromkeys(map(_kind, scores)))
    lines = list(dict.fromkeys(map(_line, scores)))
    compact = len(kinds) == 1 or (len(kinds) <= MAX_SCORE_COLUMNS and len(lines) > 1 and len(lines) < len(scores))
    marks, notes = _notes(scores)
    cells = _by_arm(scores, marks) if compact else _by_score(scores, marks)
    return Table(title, caption, *_without_idle_group(scores, cells), notes, raw_lines(scores))


def raw_lines(scores: Sequence[Score]) -> tuple[tuple[str, ...], ...]:
    """Return the lines of a table's CSV: every field of every score, unrounded, header first.

    A group has two columns; several classes are separated by `|`, which class names do not contain.
    """
    lines = [_flat(score) for score in scores]
    return (tuple(lines[0]), *(tuple(line.values()) for line in lines))


def _flat(score: Score) -> dict[str, str]:
    cells: dict[str, str] = {}
    for field in Score.model_fields:
        value = getattr(score, field)
        if isinstance(value, ImageGroup):
            cells |= {"group_kind": value.kind, "group_name": value.name}
        else:
            cells[field] = "|".join(value) if isinstance(value, tuple) else _raw(value)
    return cells


def _kind(score: Score) -> tuple[str, str]:
    return score_text.display_name(score_text.describe_quantity(score)), score_text.format_unit(score)


def _line(score: Score) -> tuple[str, ...]:
    counts = [f"{n:,}" if n else MISSING for n in (score.n_images, score.n_patients, score.n_seeds)]
    protocol = score_text.PROTOCOLS.get(score.protocol, score.protocol)
    return score_text.describe_arm(score), score_text.describe_group(score.group), *counts, protocol


def _notes(scores: Sequence[Score]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The mark of each note, and the notes as they stand below the table; one that all scores share has no mark."""
    distinct = list(dict.fromkeys(map(score_text.describe_note, scores)))
    if len(distinct) == 1:
        return {distinct[0]: ""}, tuple(filter(None, distinct))
    marks = {note: str(n).translate(_SUPERSCRIPT) for n, note in enumerate(filter(None, distinct), start=1)}
    return {"": "", **marks}, tuple(f"{mark} {note}" for note, mark in marks.items())


def _by_arm(scores: Sequence[Score], marks: Mapping[str, str]) -> Cells:
    kinds = list(dict.fromkeys(map(_kind, scores)))
    cells = {(_line(score), _kind(score)): _cell(score, marks) for score in scores}
    header = ("Arm", "Group", *map("".join, kinds), "Images", "Patients", "Seeds", "Protocol")
    lines = dict.fromkeys(map(_line, scores))
    rows = tuple((*line[:2], *(cells.get((line, kind), MISSING) for kind in kinds), *line[2:]) for line in lines)
    return header, rows


def _by_score(scores: Sequence[Score], marks: Mapping[str, str]) -> Cells:
    header = ("Arm", "Group", "Score", "Value", "Images", "Patients", "Seeds", "Protocol")
    rows = []
    for score in scores:
        line = _line(score)
        rows.append((*line[:2], _kind(score)[0], _cell(score, marks, with_unit=True), *line[2:]))
    return header, tuple(rows)


def _without_idle_group(scores: Sequence[Score], cells: Cells) -> Cells:
    header, rows = cells
    if {score.group for score in scores} != {ALL_IMAGES}:
        return cells
    return header[:1] + header[2:], tuple(row[:1] + row[2:] for row in rows)


def _cell(score: Score, marks: Mapping[str, str], *, with_unit: bool = False) -> str:
    unit = score.unit if with_unit and score.unit != "1" else ""
    return " ".join(filter(None, (score_text.format_value(score), unit, marks[score_text.describe_note(score)])))


def _raw(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def to_csv(table: Table) -> str:
    """Format a table as CSV, unrounded if it has raw lines. Control characters are escaped."""
    return printable(csv_text(table.raw or (table.header, *table.rows)))


def to_markdown(table: Table) -> str:
    """Format a table in GitHub-flavoured Markdown, without title and caption."""
    rule = ["---:" if numeric else "---" for numeric in table.numeric]
    head, *body = ([escaped_markdown(cell) for cell in cells] for cells in (table.header, *table.rows))
    lines = [head, rule, *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
