"""Tables of results: on a terminal, in a notebook, as a data frame, as JSON."""

import json

import pytest

from pipelines.commands.output import print_table
from pipelines.jobs.tables import Table

TABLE = Table(
    "accuracy of <all>",
    [{"arm": "real", "n": 12, "accuracy": 0.123456789}, {"arm": "<b>", "n": None, "accuracy": 1.0}],
    ("a note & more",),
)


def test_the_columns_are_those_of_the_first_row() -> None:
    assert TABLE.columns == ("arm", "n", "accuracy")
    assert Table("empty", []).columns == ()


def test_numbers_are_not_rounded_in_data() -> None:
    frame = TABLE.to_pandas()
    assert list(frame.columns) == ["arm", "n", "accuracy"]
    assert frame["accuracy"][0] == 0.123456789
    assert list(Table("empty", []).to_pandas().columns) == []
    facts = json.loads(json.dumps(TABLE.to_json()))
    assert facts["rows"][1] == {"arm": "<b>", "n": None, "accuracy": 1.0}
    assert (facts["title"], facts["notes"]) == ("accuracy of <all>", ["a note & more"])


def test_a_notebook_shows_text_as_text() -> None:
    html = TABLE._repr_html_()
    assert "<caption>accuracy of &lt;all&gt;</caption>" in html
    assert "<tr><td>&lt;b&gt;</td><td></td><td>1</td></tr>" in html
    assert "<td>0.1235</td>" in html
    assert "<p>a note &amp; more</p>" in html


def test_a_terminal_shows_title_rows_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a long title that is not broken where the table ends: " + "folder/" * 30
    print_table(Table(long, [{"class": "[red]x\x1b[0m", "n": 3}, {"class": "y", "n": 1200}], ("note\x07",)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == long
    assert lines[1].split() == ["class", "n"]
    assert lines[2].split() == ["[red]x\\x1b[0m", "3"]
    assert lines[3].endswith("1200")
    assert lines[2].index("3") == lines[3].index("1200") + 3, "numbers are right-aligned"
    assert lines[4] == "note\\x07"


def test_a_narrow_terminal_breaks_no_interval_and_loses_no_letter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    score = "0.475 [0.426, 0.525]"
    print_table(Table("t", [{"model": "demo", "accuracy": score, "macro F1": score, "AUC": score, "images": 217}]))
    printed = capsys.readouterr().out
    assert printed.count("[0.426, 0.525]") == 3
    assert "217" in printed
    print_table(Table("t", [{"score": "one-vs-rest AUC", **{f"number {n}": 12 for n in range(5)}}]))
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert "".join(line.split("  ")[0] for line in printed.splitlines()[2:]).replace(" ", "") == "one-vs-restAUC"


def test_a_pipe_is_as_wide_as_the_table_and_a_terminal_that_is_too_narrow_has_a_line_a_cell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = Table("t", [{"a long name of a column": 1.5 + n, **{f"number {k}": k for k in range(20)}} for n in range(2)])
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(wide)
    assert len(capsys.readouterr().out.splitlines()) == 4
    monkeypatch.setenv("COLUMNS", "60")
    print_table(wide)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:4] == ["a long name of a column 1.5", "number 0 0", "number 1 1"]
    assert lines[22:24] == ["", "a long name of a column 2.5"]
