"""Checklists of reporting standards, filled with what a study's records tell, as Markdown and HTML.

An item has a fact of the records, or a task for the author, or both. Nothing is filled in that no record holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pydantic import PositiveInt, model_validator

from fulora.config import Config, read_yaml, validated
from fulora.markdown import escaped_markdown, table

FOLDER = Path(__file__).parents[1] / "assets" / "checklists"
AUTHOR_HEAD = "Author must write"
HEAD = ("Item", "Section", "What is asked", "What the records say", "Where", AUTHOR_HEAD)


class ChecklistError(ValueError):
    """A reporting standard that is not there."""


class Item(Config):
    """One item of a standard.

    Attributes:
        item: what is asked, in our words.
        fact: the name of the fact that answers it; "" if only the author can.
        author: what only a person knows; "" if the fact is the whole answer.
    """

    number: PositiveInt
    section: str
    item: str
    fact: str = ""
    author: str = ""

    @model_validator(mode="after")
    def _is_answered(self) -> "Item":
        if not (self.fact or self.author):
            raise ValueError(f"item {self.number}: has neither a fact nor a task for the author")
        return self


class Standard(Config):
    """A reporting standard: its items, in order."""

    title: str
    citation: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Fact:
    """What a study's records tell.

    Attributes:
        text: the fact.
        where: the artifact, file or section that holds it.
    """

    text: str
    where: str


@dataclass(frozen=True)
class FilledItem:
    """An item with the fact that answers it, if the records hold one, and what is left to the author, or ""."""

    item: Item
    fact: Fact | None
    author: str


@dataclass(frozen=True)
class Checklist:
    """A standard filled for one study."""

    standard: Standard
    items: tuple[FilledItem, ...]

    @property
    def summary(self) -> str:
        """How many items the records answer, wholly or in part, of all."""
        whole = sum(1 for one in self.items if one.fact and not one.author)
        partly = sum(1 for one in self.items if one.fact and one.author)
        left = len(self.items) - whole - partly
        return (
            f"{self.standard.title}: of {len(self.items)} items the study's records answer {whole}, "
            f"{partly} in part; {left} are the author's"
        )

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """A row for each item, with the columns of `HEAD`."""
        return [
            (
                str(one.item.number),
                one.item.section,
                one.item.item,
                one.fact.text if one.fact else "",
                one.fact.where if one.fact else "",
                one.author,
            )
            for one in self.items
        ]


def standards() -> list[str]:
    """Return the names of the standards that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_standard(name: str) -> Standard:
    """Read a standard.

    Raises:
        ChecklistError: if there is no such one.
    """
    if name not in standards():
        raise ChecklistError(f"{name}: no such reporting standard; there are {', '.join(standards())}")
    path = FOLDER / f"{name}.yaml"
    return validated(Standard, read_yaml(path), where=str(path))


def fill(standard: Standard, facts: Mapping[str, Fact]) -> Checklist:
    """Answer each item by its fact; where the records lack it, the whole item is the author's."""
    return Checklist(
        standard,
        tuple(
            FilledItem(item, fact, item.author if fact else item.author or item.item)
            for item in standard.items
            for fact in [facts.get(item.fact)]
        ),
    )


def to_markdown(checklist: Checklist) -> str:
    """Return the checklist as a Markdown page."""
    lines = ([escaped_markdown(cell) for cell in row] for row in checklist.rows)
    return (
        f"# {checklist.standard.title}\n\n{escaped_markdown(checklist.summary)}.\n\n{table(HEAD, lines)}\n\n"
        f"Standard: {escaped_markdown(checklist.standard.citation)}. Items are in our words.\n"
    )


def to_html(checklist: Checklist) -> str:
    """Return the checklist as a page of its own."""
    head = "".join(f"<th scope=col>{escape(name)}" for name in HEAD)
    rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) for row in checklist.rows)
    standard = checklist.standard
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(standard.title)}</title>
<style>{STYLE}</style>
<main><h1>{escape(standard.title)}</h1>
<p>{escape(checklist.summary)}.
<table><thead><tr>{head}</thead>
<tbody>
{rows}
</tbody></table>
<p>Standard: {escape(standard.citation)}. Items are in our words.</main></html>
"""


STYLE = """
:root{color-scheme:light dark} body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:100rem;padding:0 1rem}
table{border-collapse:collapse;table-layout:fixed;width:100%} th,td{border-bottom:1px solid #8886;padding:.4rem;
text-align:left;vertical-align:top;overflow-wrap:break-word} th{width:18%} th:first-child{width:4%}
th:nth-child(2){width:11%} th:nth-child(4){width:34%} th:last-child{width:15%}
@media(max-width:50rem){main{overflow-x:auto} table{min-width:60rem}} @media print{body{font-size:9px;margin:0}}
""".strip()
