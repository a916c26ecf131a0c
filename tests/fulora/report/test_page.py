import base64
import csv
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fulora.report.diagram import Box, draw_diagram
from fulora.report.figures import plot_image_grid
from fulora.report.page import Card, Figure, PageError, ProvenanceRow, Section, slug, write_report
from fulora.report.tables import Table

VOID = {"meta", "img", "input", "br", "link"}
ATTACK = "<script>alert(1)</script>"
PNG = plot_image_grid({"real": [np.full((64, 64), 99, np.uint8)]})
TABLE = Table(f"Scores {ATTACK}", ATTACK, ("Arm", "F1"), ((ATTACK, "0.812 [0.790, 0.834]"), ("b", "–")), ("¹ a note",))
SECTIONS = (
    Section(f"Images {ATTACK}", (ATTACK,), (TABLE,), (Figure("grid", PNG, ATTACK, '" onload="alert(1)'),)),
    Section("Text", ("Plain & simple.",)),
)
PROVENANCE = (
    ProvenanceRow("curate", "curate", "aa11", "d" * 64, {"raw": "ee55"}, 1, {"size_px": 64, "note": ATTACK}),
    ProvenanceRow("generate", f"generate [{ATTACK}]", "bb22", "e" * 64, {"images": "aa11"}, 2, None),
)
CARDS = (Card(ATTACK, "0.812", "[0.790, 0.834]", "a note"), Card("Plain", "7"))


class Walk(HTMLParser):
    """Checks that tags are balanced, and collects what the page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def written(out: Path, **changed: object) -> Path:
    given = {
        "title": f"A report {ATTACK}",
        "summary": [f"It works. {ATTACK}", "It does."],
        "sections": SECTIONS,
        "provenance": PROVENANCE,
        "cards": CARDS,
    }
    write_report(out, **(given | changed))
    return out


def walked(out: Path) -> Walk:
    walk = Walk()
    walk.feed((out / "report.html").read_text(encoding="utf-8"))
    walk.close()
    return walk


def test_the_page_is_well_formed_and_holds_everything(tmp_path):
    walk = walked(written(tmp_path))
    assert walk.open == []
    for text in (
        "A report",
        "It works.",
        "0.790, 0.834",
        "Plain & simple.",
        "aa11",
        "a note",
        '"size_px": 64',
        "Research use only; never for diagnosis.",
    ):
        assert text in walk.text
    ids = [attrs["id"] for _, attrs in walk.seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    anchors = {attrs["href"][1:] for tag, attrs in walk.seen if tag == "a" and attrs["href"].startswith("#")}
    assert anchors <= set(ids)
    assert "p-aa11" in anchors


def test_the_page_loads_nothing_from_outside(tmp_path):
    out = written(tmp_path)
    walk = walked(out)
    links = [attrs[name] for _, attrs in walk.seen for name in ("src", "href") if name in attrs]
    assert links
    assert all(link.startswith(("#", "data:")) or (out / link).is_file() for link in links)
    sources = [attrs["src"] for _, attrs in walk.seen if "src" in attrs]
    assert all(source.startswith("data:") for source in sources)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in walk.seen}
    assert "url(" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_text_is_escaped(tmp_path):
    walk = walked(written(tmp_path))
    assert walk.text.count(ATTACK) >= 9
    assert not any(name.startswith("on") for _, attrs in walk.seen for name in attrs)
    assert "<script" not in (tmp_path / "report.md").read_text(encoding="utf-8").replace(f'    "note": "{ATTACK}"', "")


def test_the_figure_is_in_the_page_at_half_its_pixels(tmp_path):
    image = next(attrs for tag, attrs in walked(written(tmp_path)).seen if tag == "img")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == PNG
    assert int(image["width"]) == int.from_bytes(PNG[16:20], "big") // 2


def test_files_beside_the_page(tmp_path):
    written(tmp_path)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    table = f"tables/{slug(TABLE.title)}.csv"
    assert files == ["figures/grid.png", "report.html", "report.md", table]
    assert (tmp_path / "figures" / "grid.png").read_bytes() == PNG
    with (tmp_path / table).open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [list(TABLE.header), *map(list, TABLE.rows)]
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "](figures/grid.png)" in markdown
    assert f"]({table})" in markdown
    assert "| b | – |" in markdown


def test_the_same_report_has_the_same_bytes(tmp_path):
    first, second = written(tmp_path / "a"), written(tmp_path / "b")
    for path in first.rglob("*.*"):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


HEADING = re.compile(r"h([1-6])")


def test_headings_are_nested_and_sections_fold(tmp_path):
    inner = Section("Inner", ("x",), (), (), (Section("Innermost", ("y",), folded=True),))
    outer = Section("Outer", (), (), (), (inner,))
    out = written(tmp_path, sections=(outer, SECTIONS[1]), appendix=(Section("Last", ("z",)),))
    walk, page = walked(out), (out / "report.html").read_text(encoding="utf-8")
    levels = [int(match[1]) for tag, _ in walk.seen if (match := HEADING.fullmatch(tag))]
    assert levels == [1, 2, 3, 4, 2, 2, 2]
    assert "<details>\n<summary><h4>Innermost</h4></summary>" in page
    assert page.index(">Provenance</h2>") < page.index("<h2>Last</h2>")
    anchors = [attrs["href"] for tag, attrs in walk.seen if tag == "a" and attrs["href"].startswith("#s-")]
    assert anchors == ["#s-outer", "#s-text", "#s-last"]
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert [
        line for line in markdown.splitlines() if line.startswith("#") and "aa11" not in line and "bb22" not in line
    ][1:] == ["## Outer", "### Inner", "#### Innermost", "## Text", "## Provenance", "## Last"]


def test_names_are_unique_in_sections_of_every_level(tmp_path):
    with pytest.raises(PageError, match="two tables are named"):
        written(tmp_path, sections=(Section("A", (), (TABLE,), (), (Section("B", (), (TABLE,)),)),))


def test_the_first_link_skips_the_contents(tmp_path):
    walk = walked(written(tmp_path))
    first = next(attrs for tag, attrs in walk.seen if tag == "a")
    assert (first["class"], first["href"]) == ("skip", "#summary")


def test_tables_can_be_scrolled_by_keyboard(tmp_path):
    scrolled = [attrs for _, attrs in walked(written(tmp_path)).seen if attrs.get("class") == "scroll"]
    assert len(scrolled) == 2
    assert all(attrs["tabindex"] == "0" for attrs in scrolled)


def test_a_diagram_stands_in_the_page_and_beside_it(tmp_path):
    svg = draw_diagram([Box(0, 0, ATTACK, ("one",)), Box(0, 1, "b", ())], [(0, 1)], ATTACK)
    out = written(tmp_path, figures=(Figure("flow", svg, "a flow"),))
    assert (out / "figures" / "flow.svg").read_bytes() == svg
    assert svg.decode() in (out / "report.html").read_text(encoding="utf-8")
    assert "script" not in {tag for tag, _ in walked(out).seen}
    assert ElementTree.fromstring(svg).get("aria-label") == ATTACK


def rules(css: str) -> dict[str, dict[str, str]]:
    """The declarations of each selector, the last one of each property."""
    found: dict[str, dict[str, str]] = {}
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        declared = dict(part.split(":", 1) for part in body.split(";") if ":" in part)
        for selector in selectors.split(","):
            found.setdefault(selector.strip(), {}).update({k.strip(): v.strip() for k, v in declared.items()})
    return found


def test_printed_tables_are_as_wide_as_the_page(tmp_path):
    """Whatever keeps cells wide on a screen, by the same selector, does not in print: else columns are cut off."""
    page = (written(tmp_path) / "report.html").read_text(encoding="utf-8")
    screen, printed = (rules(css) for css in page[: page.index("</style>")].split("@media print {"))
    wide = {
        (selector, name)
        for selector, declared in screen.items()
        for name in ("white-space", "min-width")
        if re.search(r"\b(th|td|table|span)$|number$", selector) and declared.get(name, "0") not in ("0", "normal")
    }
    assert {("td.number", "white-space"), ("table", "min-width"), ("thead th", "min-width")} <= wide
    for selector, name in wide:
        allowed = ("normal",) if name == "white-space" else ("0", "18mm")
        assert printed[selector][name] in allowed, (selector, name)
    assert printed["table"]["width"] == "100%"
    assert printed[".scroll"]["overflow"] == "visible"
    for selector in ("th", "td"):
        assert (printed[selector]["white-space"], printed[selector]["overflow-wrap"]) == ("normal", "break-word")


def test_a_report_without_cards(tmp_path):
    assert not any(attrs.get("class") == "card" for _, attrs in walked(written(tmp_path, cards=())).seen)


def one(**parts: object) -> dict[str, object]:
    return {"sections": (Section("One", **parts),)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"title": " "}, "it has no title"),
        ({"summary": []}, "it has no summary"),
        ({"sections": ()}, "it has no section"),
        ({"provenance": ()}, "it has no provenance row"),
        ({"sections": (Section("Bare"),)}, "section 'Bare' is empty"),
        ({"sections": (Section("A b", ("x",)), Section("a B", ("y",)))}, "two sections are named 'a-b'"),
        (one(tables=(TABLE, TABLE)), "two tables are named"),
        (one(figures=(Figure("f", PNG, ""), Figure("f", PNG, ""))), "two figures are named 'f'"),
        (one(figures=(Figure("../f", PNG, ""),)), "figure '../f': a name is made of"),
        (one(figures=(Figure("f", b"GIF89a", ""),)), "figure 'f': neither a PNG nor an SVG"),
        ({"provenance": PROVENANCE * 2}, "two provenance rows are named 'aa11'"),
        ({"sections": (Section("…", ("x",)),)}, "needs a letter"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, changed, message):
    with pytest.raises(PageError, match=message):
        written(tmp_path, **changed)
    assert list(tmp_path.iterdir()) == []


def test_all_errors_are_reported_at_once(tmp_path):
    with pytest.raises(PageError, match=r"(?s)no title.*no summary"):
        written(tmp_path, title="", summary=())


WARNINGS = ["No image of the class 'thorax' among 24.", ATTACK]


def test_warnings_are_in_red_above_the_summary(tmp_path):
    walk = walked(written(tmp_path, warnings=WARNINGS))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert walk.text.count("No image of the class 'thorax' among 24.") == 1
    assert page.index('<div class="warning" role="alert">') < page.index('<div class="verdict">')
    assert ("script", {}) not in walk.seen
    rule = next(line for line in page.splitlines() if line.startswith(".warning {"))
    assert "color: var(--alarm)" in rule
    reds = [part.split(":")[1].split(";")[0].strip() for part in page.split("--alarm")[1:] if part.startswith(":")]
    assert len(reds) == 3
    for red in reds:  # light, dark and printed
        channels = [int(red[place : place + 2], 16) for place in (1, 3, 5)]
        assert channels[0] > max(channels[1:]) + 100
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "> [!CAUTION]\n> **Warning.** No image of the class" in text
    assert text.index("[!CAUTION]") < text.index("It works.")


def test_without_warnings_there_is_no_red(tmp_path):
    page = (written(tmp_path) / "report.html").read_text(encoding="utf-8")
    assert '<div class="warning"' not in page
    assert "CAUTION" not in (tmp_path / "report.md").read_text(encoding="utf-8")
