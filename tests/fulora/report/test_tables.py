"""Tables of scores, on the pages that are made of them."""

from pathlib import Path

import pytest
from report_pages import page_of_tables

from fulora.data.score import Score
from fulora.markdown import escaped_markdown
from fulora.metrics.image_groups import ALL_IMAGES, ImageGroup
from fulora.report.number_format import MISSING
from fulora.report.tables import Table, TableError, score_table


def score(
    name: str = "macro F1",
    arm: str = "real",
    value: float = 0.8123,
    n: int = 450,
    note: str = "",
    group: ImageGroup = ALL_IMAGES,
) -> Score:
    return Score(
        quantity=name,
        arm=arm,
        value=value,
        low=value - 0.02,
        high=value + 0.02,
        protocol="prompt",
        group=group,
        n_images=n,
        n_patients=125,
        n_seeds=5,
        note=note,
    )


def read_table(folder: Path, *scores: Score) -> list[list[str]]:
    """The lines of the page's table of these scores, header first."""
    return page_of_tables(folder, score_table(scores, "t", "c")).tables["t"]


NUMBERS = {
    (0.81234, 0.79, 0.8349, "1"): "0.812 [0.790, 0.835]",
    (0.95, 0.9, 1.0, "1"): "0.950 [0.900, 1.000]",
    (1.0, None, None, "1"): "1.000",
    (0.0, None, None, "1"): "0.000",
    (0.0123, 0.0111, 0.0135, "1"): "0.0123 [0.0111, 0.0135]",
    (178.31, 178.12, 178.5, "mm"): "178.31 [178.12, 178.50] mm",
    (123.4, 111.0, 136.0, "1"): "123 [111, 136]",
    (-1.234, -4.0, 1.5, "mm"): "−1.23 [−4.00, 1.50] mm",
    (-0.00001, -0.5, 0.5, "1"): "0.000 [−0.500, 0.500]",
    (1.2e-8, None, None, "1"): "1.20e−08",
    (12345.6, None, None, "mm"): "12346 mm",
    (0.5, 0.4, None, "1"): "0.500 [0.400, –]",
    (0.5, None, 0.6, "1"): "0.500 [–, 0.600]",
    (178.3, 178.2999, 178.3001, "mm"): "178.30000 [178.29990, 178.30010] mm",  # an interval never collapses
}


def test_numbers_are_rounded_to_what_they_support(tmp_path: Path) -> None:
    rows = [
        score(f"score {n}").changed(value=value, low=low, high=high, unit=unit)
        for n, (value, low, high, unit) in enumerate(NUMBERS)
    ]
    header, *lines = read_table(tmp_path, *rows)
    assert header[:3] == ["Arm", "Score", "Value"]
    assert [line[2] for line in lines] == list(NUMBERS.values())


def test_arms_are_lines_and_scores_are_columns(tmp_path: Path) -> None:
    scores = [score(name, arm) for arm in ("real", "real + synthetic") for name in ("macro F1", "balanced accuracy")]
    header, first, _ = read_table(tmp_path, *scores)
    assert header == ["Arm", "Macro F1", "Balanced accuracy", "Images", "Patients", "Seeds", "Protocol"]
    assert first == ["real", *["0.812 [0.792, 0.832]"] * 2, "450", "125", "5", "prompt zero-shot"]
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count('<th scope="col" class="number">') == 5 + 1


def test_many_scores_are_one_a_line(tmp_path: Path) -> None:
    header, *lines = read_table(tmp_path, *(score(f"score_{n}", "real") for n in range(8)))
    assert header[:3] == ["Arm", "Score", "Value"]
    assert [line[1] for line in lines] == [f"Score {n}" for n in range(8)]


def test_scores_of_different_images_do_not_share_a_line(tmp_path: Path) -> None:
    scores = [score("a", "x"), score("b", "x", n=10), score("a", "y"), score("b", "y"), score("b", "z")]
    assert [(row[0], row[1] == MISSING, row[2] == MISSING, row[3]) for row in read_table(tmp_path, *scores)[1:]] == [
        ("x", False, True, "450"),
        ("x", True, False, "10"),
        ("y", False, False, "450"),
        ("z", True, False, "450"),
    ]


def test_groups_and_units_are_shown(tmp_path: Path) -> None:
    in_mm = Score(quantity="HC error", arm="a", value=2.0, unit="mm", protocol="biometry", n_images=1, n_patients=0)
    tables = {
        "sites": [score(group=ImageGroup("site", site)) for site in ("Malawi", "Ghana")],
        "column": [in_mm],
        "lines": [in_mm, in_mm.changed(quantity="bias")],
    }
    shown = page_of_tables(tmp_path, *(score_table(rows, name, "c") for name, rows in tables.items())).tables
    assert [row[1] for row in shown["sites"]] == ["Group", "site Malawi", "site Ghana"]
    assert shown["column"][0][1] == "HC error (mm)"
    assert shown["column"][1] == ["a", "2.00", "1", MISSING, "1", "biometry"]
    assert shown["lines"][1][:3] == ["a", "HC error", "2.00 mm"]


def test_notes_are_below_the_table(tmp_path: Path) -> None:
    marked = score_table([score(arm="a"), score(arm="b", note="control")], "marked", "c")
    shared = score_table([score(arm=arm, note="all alike") for arm in "ab"], "shared", "c")
    page = page_of_tables(tmp_path, marked, shared)
    assert [row[1] for row in page.tables["marked"][1:]] == ["0.812 [0.792, 0.832]", "0.812 [0.792, 0.832] ¹"]
    assert [row[1] for row in page.tables["shared"][1:]] == ["0.812 [0.792, 0.832]"] * 2
    assert page.notes == {"marked": ["¹ control"], "shared": ["all alike"]}
    numbers = (tmp_path / "report.html").read_text(encoding="utf-8").count('<td class="number">0.812')
    assert numbers == 4


def test_two_scores_for_one_cell_are_refused() -> None:
    with pytest.raises(TableError, match="two scores for one cell"):
        score_table([score(), score(value=0.5)], "t", "c")


def test_empty_and_uneven_tables_are_refused() -> None:
    with pytest.raises(TableError, match="'t' has no scores"):
        score_table([], "t", "c")
    with pytest.raises(TableError, match="'t' is empty"):
        Table("t", "c", ("a",), ())
    with pytest.raises(TableError, match="2 cells for 1 columns"):
        Table("t", "c", ("a",), (("1", "2"),))


def test_csv_holds_the_unrounded_scores(tmp_path: Path) -> None:
    labels = {"labels": ("a, b", "c"), "rule": "own decision", "choices": 5}
    scores = [
        score(arm='one, "quoted"', value=1 / 3, group=ImageGroup("site", "A - B")).changed(**labels),
        score(arm="two\nlines").changed(baseline="real", p=0.5, role="declared"),
    ]
    rows = page_of_tables(tmp_path, score_table(scores, "t", "c")).csv("t")
    fields = [*(name for name in Score.model_fields if name != "group"), "group_kind", "group_name"]
    assert set(rows[0]) == set(fields)
    records = []
    for row in rows:
        group = {"kind": row.pop("group_kind"), "name": row.pop("group_name")}
        values = {name: value for name, value in row.items() if value} | {"group": group}
        records.append(Score.model_validate(values | {"labels": row["labels"].split("|") if row["labels"] else ()}))
    assert records == scores


def test_a_plain_table_is_its_own_csv_and_is_escaped_and_aligned_in_markdown(tmp_path: Path) -> None:
    page_of_tables(tmp_path, Table("t", "c", ("a|b", "n"), (("<i> *x*", "0.81 [0.79, 0.83]"),)))
    assert (tmp_path / "tables" / "t.csv").read_text() == 'a|b,n\n<i> *x*,"0.81 [0.79, 0.83]"\n'
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "\n| a\\|b | n |\n| --- | ---: |\n| &lt;i&gt; \\*x\\* | 0.81 [0.79, 0.83] |\n" in text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("# no heading", "\\# no heading"),
        ("1. no list", "1\\. no list"),
        ("a\n\nb", "a b"),
        ("[x](y)", "[x]\\(y)"),
        ("5 % of 10", "5 % of 10"),
        ("- no list", "\\- no list"),
    ],
)
def test_text_stays_text_in_markdown(given: str, expected: str) -> None:
    assert escaped_markdown(given) == expected


def test_quantities_have_names_for_readers(tmp_path: Path) -> None:
    _, *lines = read_table(tmp_path, *(score(name) for name in ("macro_f1", "hc bias", "FID_DINOv2", "recall")))
    assert [line[1] for line in lines] == ["Macro F1", "HC bias", "FID DINOv2", "Recall"]
