"""Reports made of real records, and what a reader sees of them."""

import csv
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeVar

import numpy as np
from image_rows import image_row
from markdown_it import MarkdownIt

from fulora.config import Config, digest
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet
from fulora.data.leak_check import Overlap
from fulora.data.results import LeakTable, Predictions, Scores, write_table
from fulora.data.score import Score
from fulora.report.page import ProvenanceRow, Section, write_report
from fulora.report.parts import ClassificationPart, ReportPart, Sweeps
from fulora.report.study import write_study_report
from fulora.report.tables import Table
from fulora.stage import Artifact

A = TypeVar("A", bound=Artifact)
HEADINGS = ("h2", "h3", "h4")
TEXTS = {"h1", *HEADINGS, "p", "li", "b", "th", "td", "figcaption"}
LEAKS = (Overlap(trained_on="LoRA", images=9, patients=4), Overlap(trained_on="SD", images=None, patients=None))


class Page(HTMLParser):
    """A page as its reader sees it.

    Attributes:
        sections: by title, the paragraphs.
        tables: by title, the cells of each line, header first; `notes` the lines below it.
        figures: by name, the caption.
        cards: key numbers, each with its label, value, interval and note.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.sections: dict[str, list[str]] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.notes: dict[str, list[str]] = {}
        self.figures: dict[str, str] = {}
        self.cards: list[list[str]] = []
        self.warnings: list[str] = []
        self.summary: list[str] = []
        self._open: list[tuple[str, str]] = []
        self._texts: list[str] = []
        self._table, self._figure = "", ""
        self.feed((folder / "report.html").read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag not in ("meta", "img", "input"):
            self._open.append((tag, names.get("class") or ""))
        if tag in TEXTS:
            self._texts.append("")
        elif tag == "tr" and self._is_in("scroll"):
            self.tables.setdefault(self._table, []).append([])
        elif tag == "figure":
            self._figure = (names["id"] or "").removeprefix("f-")
        elif names.get("class") == "card":
            self.cards.append([])

    def handle_data(self, data: str) -> None:
        self._texts = [text + data for text in self._texts]

    def handle_endtag(self, tag: str) -> None:
        kind = self._open.pop()[1]
        if tag not in TEXTS:
            return
        text = self._texts.pop()
        if tag in HEADINGS:
            self._table = text if text == "Provenance" else ""
            self.sections[text] = []
        elif tag == "b" and self._is_in("caption"):
            self._table = text.split(". ", 1)[1].removesuffix(".")
        elif tag in ("th", "td") and self._table in self.tables:
            self.tables[self._table][-1].append(text)
        elif tag == "figcaption":
            self.figures[self._figure] = text.split(". ", 1)[1].rpartition(" figures/")[0]
        elif tag in ("p", "li"):
            self._keep(text, kind)

    def _keep(self, text: str, kind: str) -> None:
        if self._is_in("warning"):
            self.warnings.append(text.removeprefix("Warning. "))
        elif self._is_in("verdict"):
            self.summary.append(text)
        elif self._is_in("card"):
            self.cards[-1].append(text)
        elif self._is_in("notes"):
            self.notes.setdefault(self._table, []).append(text)
        elif self.sections and kind != "caption":
            self.sections[list(self.sections)[-1]].append(text)

    def _is_in(self, kind: str) -> bool:
        return any(kind in names.split() for _, names in self._open)

    def csv(self, name: str) -> list[dict[str, str]]:
        """The lines of a table's CSV file."""
        with (self.folder / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def markdown(self) -> str:
        """The text of the same report in Markdown, as a reader sees it."""
        html = MarkdownIt("commonmark").enable("table").render((self.folder / "report.md").read_text(encoding="utf-8"))
        shown = Words()
        shown.feed(html)
        return shown.text


class Words(HTMLParser):
    """The text of some HTML."""

    text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of_parts(folder: Path, *parts: ReportPart) -> Page:
    """The report of some parts of a study."""
    write_study_report(folder, parts, title="A study", about="Of phantoms.")
    return Page(folder)


def page_of_tables(folder: Path, *tables: Table) -> Page:
    """A report with one section of some tables."""
    row = ProvenanceRow("curate", "curate", "aa11", "d" * 64, {}, 1, None)
    write_report(folder, title="t", summary=["s"], sections=[Section("S", (), tables)], provenance=[row])
    return Page(folder)


def stored(folder: Path, kind: type[A], rows: Sequence[Config]) -> A:
    """The rows as an artifact that a stage made."""
    folder.mkdir(parents=True)
    write_table(folder, rows)
    return recorded(folder, kind)


def recorded(folder: Path, kind: type[A]) -> A:
    """What the folder holds as an artifact that a stage made."""
    identity = {"stage": "keep", "version": 1, "arguments": {"folder": folder.name}}
    record: dict[str, object] = {"stage": "keep", "artifact": kind.__name__, "identity": identity, "seconds": 0.5}
    record |= dict.fromkeys(("label", "digest", "code", "made", "finished", "commit"), "x")
    record |= {key: {} for key in ("inputs", "input_folders", "input_fingerprints", "versions")}
    record["fingerprint"] = digest(identity)[:16]
    (folder / "stage.json").write_text(json.dumps(record), encoding="utf-8")
    return kind(folder, digest(identity)[:16])


def images_of(
    folder: Path, labels: LabelSet, *, gray: int = 40, each: int = 1, left_out: tuple[str, str] = ("", "")
) -> ImageSet:
    """Images of one gray, of each class in each split, but for those of the class and split that are left out."""
    pictures = []
    for number, name in enumerate(labels.names):
        for split in ("train", "test"):
            for place in range(each):
                patient = f"{number}{split}{place}"
                image_id = f"{folder.name}_{patient}"
                row = image_row(image_id, plane=name, split=split, source=folder.name, patient=patient)
                pixels = np.full((64, 64), gray, np.uint8)
                pixels[0, :3] = number, place, split == "test"  # no two images are the same
                if (name, split) != left_out:
                    pictures.append(Picture(row, pixels))
    ImageSet.write(folder, pictures, labels=labels)
    return ImageSet(folder, folder.name)


def classification(
    folder: Path,
    labels: LabelSet,
    scores: Sequence[Score],
    predictions: dict[str, list[Predictions]] | None = None,
    sweeps: Sweeps | None = None,
) -> ClassificationPart:
    """A part on classifiers with these scores."""
    images = images_of(folder / "images", labels)
    return ClassificationPart(
        images=images,
        training={"planes": images},
        few=None,
        predictions=predictions or {},
        scores=stored(folder / "scores", Scores, scores),
        sweeps=sweeps or {},
        leaks=stored(folder / "leaks", LeakTable, LEAKS),
    )
