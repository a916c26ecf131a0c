"""The page of a report: self-contained HTML, the same in Markdown, tables as CSV and figures as PNG or SVG.

The HTML page loads nothing from anywhere and has no time stamps, so that it can be mailed, archived and compared.
"""

import base64
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jinja2
from markupsafe import Markup
from PIL import Image as Pil

from fulora.config import Json
from fulora.markdown import escaped_markdown
from fulora.report.tables import Table, to_csv, to_markdown
from fulora.terminal import printable

PIXELS_PER_PAGE_PIXEL = 2
FOOTER = "Research use only; never for diagnosis."

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_INTERVAL = re.compile(r"(?P<value>[^\[\]]+) (?P<interval>\[[^\[\]]*\].*)")


class PageError(ValueError):
    """A report that cannot be written. The message lists all errors."""


@dataclass(frozen=True)
class Card:
    """A key number at the top of the page, as text that is already rounded."""

    label: str
    value: str
    interval: str = ""
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure: `name` is its file name (a-z, 0-9, - and _), `alt` its description for screen readers.

    Attributes:
        content: a PNG, or an SVG that `fulora.report.diagram` has drawn, which stands in the page as it is.
    """

    name: str
    content: bytes
    caption: str
    alt: str = ""

    @property
    def is_png(self) -> bool:
        """Whether it is a PNG; else an SVG."""
        return self.content.startswith(b"\x89PNG\r\n\x1a\n")

    @property
    def file(self) -> str:
        """Its file beside the page."""
        return f"figures/{self.name}.{'png' if self.is_png else 'svg'}"


@dataclass(frozen=True)
class Section:
    """A part of the report: paragraphs of plain text, then tables, then figures, then sections below it.

    Attributes:
        folded: shown when its reader opens it, and printed only if it is open.
    """

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    sections: tuple["Section", ...] = ()
    folded: bool = False

    def walk(self) -> Iterator["Section"]:
        """Iterate over this section and all below it, in the order of the page."""
        yield self
        for section in self.sections:
            yield from section.walk()


@dataclass(frozen=True)
class ProvenanceRow:
    """A stage whose results the report shows. `inputs` maps the name of each input to its fingerprint."""

    stage: str
    label: str
    fingerprint: str
    digest: str
    inputs: Mapping[str, str]
    version: int
    config: Json


def write_report(
    out: Path,
    *,
    title: str,
    summary: Sequence[str],
    sections: Sequence[Section],
    provenance: Sequence[ProvenanceRow],
    cards: Sequence[Card] = (),
    warnings: Sequence[str] = (),
    figures: Sequence[Figure] = (),
    appendix: Sequence[Section] = (),
) -> None:
    r"""Write `report.html`, `report.md`, `tables/*.csv` and `figures/*` under `out`. The same input, same bytes.

    All text is plain and shown as it is; control characters are written out, an escape as `\x1b`.

    Args:
        summary: the findings in short sentences; the first is the headline.
        cards: key numbers, shown under the summary.
        warnings: what limits every number of the page, shown in red above the summary.
        figures: of the summary.
        appendix: sections after the provenance.

    Raises:
        PageError: if something is missing, empty or duplicate.
    """
    every = [section for part in (*sections, *appendix) for section in part.walk()]
    drawn = [*figures, *(figure for section in every for figure in section.figures)]
    errors = [
        *_missing(title, summary, sections, provenance),
        *_empty(every),
        *_repeated(every, drawn, provenance),
        *_unusable(every, drawn),
    ]
    if errors:
        raise PageError("this report cannot be written:\n" + "\n".join(errors))
    tables = [table for section in every for table in section.tables]
    words = file_stems(table.title for table in tables)
    for table in tables:
        _write(out / "tables" / f"{words[table.title]}.csv", to_csv(table).encode())
    for figure in drawn:
        _write(out / figure.file, figure.content)
    environment = _environment(words)
    for name in ("report.html", "report.md"):
        template = environment.get_template(name.replace("report", "page") + ".jinja")
        text = template.render(
            title=title,
            summary=summary,
            warnings=warnings,
            cards=cards,
            figures=figures,
            sections=sections,
            provenance=provenance,
            appendix=appendix,
            footer=FOOTER,
            known={row.fingerprint for row in provenance},
        )
        _write(out / name, printable(text).encode())


def slug(title: str) -> str:
    """Convert a title to a file name or an anchor: `Accuracy by site` becomes `accuracy-by-site`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def file_stems(names: Iterable[str]) -> dict[str, str]:
    """Return each name as a unique part of a file name or anchor; of equal parts, later ones are numbered.

    `x, y` becomes `x-y`, and `x / y` beside it `x-y-2`; a name without a letter a-z or digit is `unnamed`.
    """
    stems: dict[str, str] = {}
    for name in dict.fromkeys(names):
        word, number = slug(name) or "unnamed", 2
        while word in stems.values():
            word, number = f"{slug(name) or 'unnamed'}-{number}", number + 1
        stems[name] = word
    return stems


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _missing(
    title: str, summary: Sequence[str], sections: Sequence[Section], provenance: Sequence[ProvenanceRow]
) -> list[str]:
    parts = {"title": title.strip(), "summary": summary, "section": sections, "provenance row": provenance}
    return [f"it has no {name}; a report has at least one" for name, part in parts.items() if not part]


def _empty(sections: Sequence[Section]) -> list[str]:
    bare = [one.title for one in sections if not (one.text or one.tables or one.figures or one.sections)]
    return [f"section '{name}' is empty: give it text, a table or a figure" for name in bare]


def _repeated(sections: Sequence[Section], figures: Sequence[Figure], provenance: Sequence[ProvenanceRow]) -> list[str]:
    names = {
        "section": [slug(section.title) for section in sections],
        "table": [table.title for section in sections for table in section.tables],
        "figure": [figure.name for figure in figures],
        "provenance row": [row.fingerprint for row in provenance],
    }
    repeated = [(kind, name) for kind, all_names in names.items() for name, n in Counter(all_names).items() if n > 1]
    return [f"two {kind}s are named '{name}'; names are unique" for kind, name in repeated]


def _unusable(sections: Sequence[Section], figures: Sequence[Figure]) -> Iterator[str]:
    for section in sections:
        for name in (section.title, *(table.title for table in section.tables)):
            if not slug(name):
                yield f"the title '{name}' needs a letter a-z or a digit, for its anchor and file name"
    for figure in figures:
        if not _NAME.fullmatch(figure.name):
            yield f"figure '{figure.name}': a name is made of a-z, 0-9, - and _"
        if not figure.is_png and not figure.content.startswith(b"<svg "):
            yield f"figure '{figure.name}': neither a PNG nor an SVG"


def _environment(words: Mapping[str, str]) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.jinja",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "slug": slug,
        "file": words.__getitem__,
        "md": escaped_markdown,
        "alt": partial(escaped_markdown, brackets=True),
        "markdown_table": to_markdown,
        "json": partial(json.dumps, indent=2, ensure_ascii=False),
        "cell": _cell,
        "png_uri": _png_uri,
        "svg": lambda figure: Markup(figure.content.decode()),
        "csv_uri": _csv_uri,
        "size": _size,
    }
    return environment


def _cell(text: str) -> Markup | str:
    match = _INTERVAL.fullmatch(text)
    return Markup("{} <small>{}</small>").format(match["value"], match["interval"]) if match else text


def _png_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _csv_uri(table: Table) -> str:
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(to_csv(table).encode()).decode()


def _size(png: bytes) -> tuple[int, int]:
    with Pil.open(io.BytesIO(png)) as image:
        return image.width // PIXELS_PER_PAGE_PIXEL, image.height // PIXELS_PER_PAGE_PIXEL
