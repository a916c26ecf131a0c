import csv
import io

import pytest

from fulora.data.score import Score
from fulora.markdown import escaped_markdown
from fulora.metrics.groups import ALL_IMAGES, ImageGroup
from fulora.report.numbers import MISSING, rounded
from fulora.report.tables import Table, TableError, score_table, to_csv, to_markdown
from fulora.report.wording import readable


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


@pytest.mark.parametrize(
    ("given", "unit", "expected"),
    [
        ((0.81234, 0.79, 0.8349), "1", ("0.812", "[0.790, 0.835]")),
        ((0.95, 0.9, 1.0), "1", ("0.950", "[0.900, 1.000]")),
        ((1.0, None, None), "1", ("1.000", "")),
        ((0.0, None, None), "1", ("0.000", "")),
        ((0.0123, 0.0111, 0.0135), "1", ("0.0123", "[0.0111, 0.0135]")),
        ((178.31, 178.12, 178.5), "mm", ("178.31", "[178.12, 178.50]")),
        ((123.4, 111.0, 136.0), "1", ("123", "[111, 136]")),
        ((-1.234, -4.0, 1.5), "mm", ("−1.23", "[−4.00, 1.50]")),
        ((-0.00001, -0.5, 0.5), "1", ("0.000", "[−0.500, 0.500]")),
        ((1.2e-8, None, None), "1", ("1.20e−08", "")),
        ((12345.6, None, None), "mm", ("12346", "")),
        ((0.5, 0.4, None), "1", ("0.500", "[0.400, –]")),
        ((0.5, None, 0.6), "1", ("0.500", "[–, 0.600]")),
    ],
)
def test_numbers_are_rounded_to_what_they_support(given, unit, expected):
    assert rounded(*given, unit=unit) == expected


def test_an_interval_never_collapses():
    value, interval = rounded(178.3, 178.2999, 178.3001, unit="mm")
    assert value == "178.30000"
    assert interval == "[178.29990, 178.30010]"


def test_arms_are_lines_and_scores_are_columns():
    scores = [score(name, arm) for arm in ("real", "real + synthetic") for name in ("macro F1", "balanced accuracy")]
    table = score_table(scores, "Transfer", "What it is.")
    assert table.header == ("Arm", "Macro F1", "Balanced accuracy", "Images", "Patients", "Seeds", "Protocol")
    assert table.rows[0] == ("real", *["0.812 [0.792, 0.832]"] * 2, "450", "125", "5", "prompt zero-shot")
    assert table.numeric == (False, True, True, True, True, True, False)


def test_many_scores_stand_one_a_line():
    table = score_table([score(f"score_{n}", "real") for n in range(8)], "t", "c")
    assert table.header[:3] == ("Arm", "Score", "Value")
    assert [row[1] for row in table.rows] == [f"Score {n}" for n in range(8)]


def test_scores_of_different_images_do_not_share_a_line():
    scores = [score("a", "x"), score("b", "x", n=10), score("a", "y"), score("b", "y"), score("b", "z")]
    rows = score_table(scores, "t", "c").rows
    assert [(row[0], row[1] == MISSING, row[2] == MISSING, row[3]) for row in rows] == [
        ("x", False, True, "450"),
        ("x", True, False, "10"),
        ("y", False, False, "450"),
        ("z", True, False, "450"),
    ]


def test_groups_and_units_are_shown():
    scores = [score(group=ImageGroup("site", site)) for site in ("Malawi", "Ghana")]
    table = score_table(scores, "t", "c")
    assert table.header[1] == "Group"
    assert [row[1] for row in table.rows] == ["site Malawi", "site Ghana"]
    in_mm = Score(quantity="HC error", arm="a", value=2.0, unit="mm", protocol="biometry", n_images=1, n_patients=0)
    assert score_table([in_mm], "t", "c").header[1] == "HC error (mm)"
    assert score_table([in_mm], "t", "c").rows[0] == ("a", "2.00", "1", MISSING, "1", "biometry")
    long = score_table([in_mm, in_mm.changed(quantity="bias")], "t", "c")
    assert long.rows[0][:3] == ("a", "HC error", "2.00 mm")
    assert long.numeric[2]


def test_notes_stand_below():
    marked = score_table([score(arm="a"), score(arm="b", note="control")], "t", "c")
    assert marked.rows[1][1] == "0.812 [0.792, 0.832] ¹"
    assert marked.notes == ("¹ control",)
    assert marked.numeric[1]
    shared = score_table([score(arm=arm, note="all alike") for arm in "ab"], "t", "c")
    assert shared.notes == ("all alike",)
    assert "¹" not in shared.rows[0][1]


def test_two_scores_for_one_cell_are_refused():
    with pytest.raises(TableError, match="two scores for one cell"):
        score_table([score(), score(value=0.5)], "t", "c")


def test_empty_and_uneven_tables_are_refused():
    with pytest.raises(TableError, match="'t' has no scores"):
        score_table([], "t", "c")
    with pytest.raises(TableError, match="'t' is empty"):
        Table("t", "c", ("a",), ())
    with pytest.raises(TableError, match="2 cells for 1 columns"):
        Table("t", "c", ("a",), (("1", "2"),))


def test_csv_holds_the_unrounded_scores():
    labels = {"labels": ("a, b", "c"), "rule": "own decision", "choices": 5}
    scores = [
        score(arm='one, "quoted"', value=1 / 3, group=ImageGroup("site", "A - B")).changed(**labels),
        score(arm="two\nlines").changed(baseline="real", p=0.5, role="declared"),
    ]
    rows = list(csv.DictReader(io.StringIO(to_csv(score_table(scores, "t", "c")))))
    fields = [*(name for name in Score.model_fields if name != "group"), "group_kind", "group_name"]
    assert set(rows[0]) == set(fields)
    read = []
    for row in rows:
        group = {"kind": row.pop("group_kind"), "name": row.pop("group_name")}
        told = {name: value for name, value in row.items() if value} | {"group": group}
        read.append(Score.model_validate(told | {"labels": row["labels"].split("|") if row["labels"] else ()}))
    assert read == scores


def test_csv_of_a_plain_table():
    assert to_csv(Table("t", "c", ("a", "b"), (("1", "2"),))) == "a,b\n1,2\n"


def test_markdown_is_escaped_and_aligned():
    text = to_markdown(Table("t", "c", ("a|b", "n"), (("<i> *x*", "0.81 [0.79, 0.83]"),)))
    assert text == "| a\\|b | n |\n| --- | ---: |\n| &lt;i&gt; \\*x\\* | 0.81 [0.79, 0.83] |\n"


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
def test_text_stays_text_in_markdown(given, expected):
    assert escaped_markdown(given) == expected


def test_names_for_people():
    assert [readable(name) for name in ("macro_f1", "hc bias", "FID_DINOv2", "recall")] == [
        "Macro F1",
        "HC bias",
        "FID DINOv2",
        "Recall",
    ]
