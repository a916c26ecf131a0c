"""Ids, sites, arms, captions and titles as somebody hostile would write them: shown as they are in every output."""

import csv
import html
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from image_rows import image_row
from markdown_it import MarkdownIt
from report_pages import classification, page_of_parts

from fulora.data.image import Image
from fulora.data.label_set import label_set
from fulora.data.provenance import Provenance
from fulora.data.score import Score
from fulora.export.card import CardConfig, card_text
from fulora.markdown import code, escaped_markdown
from fulora.report.curves import plot_percentiles, plot_sweep
from fulora.report.figures import plot_image_grid, plot_intervals, plot_losses
from fulora.report.page import Card, Figure, ProvenanceRow, Section, write_report
from fulora.report.tables import Table, score_table, to_csv

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "</td></table></main>",
    "<!-- x",
    "]]>",
    "&lt;b&gt; &amp; &copy;",
    "{{ 7*7 }}{% raw %}{{ config }}",
    "[a](javascript:alert(1))",
    "![a](http://x.example/y.png)",
    "[x]: http://x.example",
    "a | b",
    "|",
    "`code` ``` x",
    "# head",
    "*a* _b_ ~~c~~",
    "1. x",
    "- x",
    "+ x",
    "---",
    "===",
    "a\\",
    "\\*a",
    "$\\frac{1}{0}$",
    "_x",
    "%s {0} {x!r}",
    "Größe 胎児 العربية",
)
FETAL = label_set("fetal_planes")
FORMULAS = ("=1+1", '=HYPERLINK("http://x.example")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)")
LABELS = label_set("fetal_planes")
PNG = plot_image_grid({"real": [np.full((8, 8), 99, np.uint8)]})


class Shown(HTMLParser):
    """The tags of a page, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def report(out: Path, text: str) -> Path:
    table = Table(f"T {text}", text, ("a", text), ((text, f"{text} [0.1, 0.2]"), (text, "0.5 [0.1, 0.2]")), (text,))
    section = Section(f"S {text}", (text, f"x {text}"), (table,), (Figure("grid", PNG, text, text),))
    provenance = [ProvenanceRow(text, text, "aa11", text, {text: text, "raw": "aa11"}, 1, {text: [text]})]
    cards = [Card(text, text, text, text)]
    write_report(out, title=text, summary=[text, text], sections=[section], provenance=provenance, cards=cards)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_the_page_shows_any_text_as_it_is(tmp_path: Path, text: str) -> None:
    shown, plain = (
        Shown((report(tmp_path / name, x) / "report.html").read_text()) for name, x in (("a", text), ("b", "b"))
    )
    assert [tag for tag in shown.tags if tag != "small"] == [tag for tag in plain.tags if tag != "small"]
    assert [name for name, _ in shown.attributes] == [name for name, _ in plain.attributes]
    links = [value for name, value in shown.attributes if name in ("href", "src")]
    assert all(
        str(link).startswith(("#", "figures/grid.png", "data:image/png;base64,", "data:text/csv")) for link in links
    )
    assert shown.text.count(text) >= 15
    assert ("alt", text) in shown.attributes


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_the_report_in_markdown_shows_any_text_as_it_is(tmp_path: Path, text: str) -> None:
    render = MarkdownIt("commonmark").enable("table").render
    shown, plain = (
        Shown(render((report(tmp_path / name, x) / "report.md").read_text())) for name, x in (("a", text), ("b", "b"))
    )
    assert shown.tags == plain.tags
    assert shown.text.count(" ".join(text.split())) >= 15


@pytest.mark.slow
def test_a_page_shows_hostile_names_of_arms_sites_and_notes_unchanged(tmp_path: Path) -> None:
    about = {"quantity": "accuracy", "value": 0.5, "low": 0.4, "high": 0.6, "rank": 1, "protocol": "transfer"}
    about |= {"n_images": 9, "n_patients": 3}
    rows = [
        Score.model_validate(about | {"arm": text, "note": text, "group": {"kind": kind, "name": name}} | compared)
        for text in HOSTILE
        for kind, name, compared in (
            ("all", "", {}),
            ("site", text, {}),
            ("all", "", {"baseline": "real", "role": "declared", "p": 0.01}),
        )
    ]
    page = page_of_parts(tmp_path, classification(tmp_path, FETAL, rows))
    scores, compared, sites = (
        page.tables[name] for name in ("Classification of the unseen population", "Arms compared", "Accuracy by site")
    )
    assert [line[0] for line in scores[1:]] == list(HOSTILE)
    assert [line[0] for line in compared[1:]] == [f"{text} minus real (declared)" for text in HOSTILE]
    assert sites[0][1:] == [f"{text} (9 images, 3 patients)" for text in HOSTILE]
    assert [note.split(" ", 1)[1] for note in page.notes["Classification of the unseen population"]] == list(HOSTILE)
    assert all(f"Accuracy of {' '.join(text.split())} minus real (declared)" in page.markdown() for text in HOSTILE)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_and_code_in_markdown(text: str) -> None:
    render = MarkdownIt("commonmark").enable("table").render
    assert html.unescape(render(escaped_markdown(text))) == f"<p>{text}</p>\n"
    assert Shown(render(f"x {code(text)}")).text == f"x {text}\n"
    assert Shown(render(f"x {code(text)}")).tags == ["p", "code"]


def row(image_id: str, **values: object) -> Image:
    return image_row(image_id, **({"height": 6, "sha256": image_id} | values))


@pytest.mark.parametrize("text", [*HOSTILE, "two\nlines | 1 |\n# head"])
def test_the_card_of_a_data_set_shows_any_text_as_it_is(text: str) -> None:
    def card(text: str) -> str:
        rows = [
            row("a", site=text, machine=text, source=text),
            row("b", origin="synthetic", patient="", site="", generator=text, seed="1"),
        ]
        return card_text(rows, FETAL, Provenance.unknown(text), "parquet", CardConfig(title=text), "USE")

    head, body = card(text).removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(head)["pretty_name"] == text
    render = MarkdownIt("commonmark").enable("table").render
    shown = Shown(render(body))
    assert shown.tags == Shown(render(card("b").split("\n---\n", 1)[1])).tags
    assert shown.text.count(" ".join(text.split())) == 6


@pytest.mark.parametrize("text", FORMULAS)
def test_no_spreadsheet_runs_a_cell_of_a_report(tmp_path: Path, text: str) -> None:
    score = Score(
        quantity=text, arm=text, value=-0.5, low=-0.75, protocol="adapted", n_images=1, n_patients=1, note=text
    )
    plain = Table("t", text, ("a", text), ((text, "−0.5"),))
    for table in (plain, score_table([score], "t", "c")):
        cells = [cell for line in csv.reader(io.StringIO(to_csv(table))) for cell in line]
        assert not any(cell.startswith(("=", "+", "@", "-")) for cell in cells if cell not in ("-0.5", "-0.75"))
        assert f"'{text}" in cells
    assert {"-0.5", "-0.75"} <= set(cells)
    (path,) = (report(tmp_path, text) / "tables").iterdir()
    assert f"'{text}" in path.read_text().replace('""', '"')


@pytest.mark.slow
@pytest.mark.parametrize("name", [*HOSTILE, *FORMULAS, "a\nb", "\x1b[31m", "$$", "__"])
def test_figures_are_drawn_with_any_name(name: str) -> None:
    assert plot_losses({name: [(0, 1.0), (1, 0.5)], "b": [(0, 1.0), (1, 0.5)]}, name)
    assert plot_sweep(
        {name: [(0, 0.1, 0.0, 0.2), (1, 0.5, 0.4, 0.6)], "b": [(0, 0.1, 0.0, 0.2), (1, 0.5, 0.4, 0.6)]}, name, name
    )
    assert plot_percentiles({name: {name: [0.1, 0.2], "b": [0.1, 0.3]}}, name)
    assert plot_intervals([name, "b"], [0.1, 0.2], [0.0, 0.1], [0.2, 0.3], quantity=name)
    assert plot_image_grid({name: [np.full((8, 8), 99, np.uint8)]})


def test_a_name_with_an_underscore_is_in_the_legend() -> None:
    points = {"b": [(0, 1.0), (1, 0.5)]}
    assert plot_losses({"_a": points["b"], **points}) == plot_losses({" _a": points["b"], **points})


CONTROL = "a\x1b[31m\x1b]0;own\a\x9b2J\x7f\u202eb\rc"


def test_control_characters_are_written_out_in_every_output(tmp_path: Path) -> None:
    report(tmp_path, CONTROL)
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".html", ".md", ".csv")]
    outputs = {path.name: path.read_bytes().decode() for path in files}
    assert {Path(name).suffix for name in outputs} == {".html", ".md", ".csv"}
    row = image_row(source=CONTROL, site=CONTROL, machine=CONTROL)
    config = CardConfig(title=CONTROL, description=CONTROL, licence_link=CONTROL, citations=(CONTROL,), contact=CONTROL)
    outputs["card"] = card_text([row], FETAL, Provenance.unknown(CONTROL), "parquet", config, "USE")
    for name, output in outputs.items():
        assert not set(output) & set("\x1b\a\x9b\x7f\u202e\r"), name
        assert "x1b" in output, name
    assert "\\x1b[31m" in Shown(outputs["report.html"]).text
    assert "a\\x1b[31m\\x1b]0;own\\x07" in next(text for name, text in outputs.items() if name.endswith(".csv"))
