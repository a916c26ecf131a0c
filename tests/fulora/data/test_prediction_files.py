"""Anybody's predictions: what is read, in which forms, and what is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fulora.data.label_set import LabelSetError, label_set
from fulora.data.predictions.files import read_predictions
from fulora.data.predictions.paired_predictions import paired
from fulora.data.predictions.rows import PredictionFileError
from fulora.data.results import Prediction, write_table

FETAL = label_set("fetal_planes")
PLANES = FETAL.names

HARD = """image_id,patient,site,true,predicted
a,1,GHA,brain,brain
b,1,GHA,femur,other
c,1,UGA,brain,femur
"""
SOFT = """image_id;patient;site;true;abdomen;brain;other
a;1;GHA;brain;0.1;0.7;0.2
b;2;GHA;abdomen;0.2;0.3;0.5
"""


def written(folder: Path, text: str, name: str = "predictions.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def lines(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    return written(folder, "".join(json.dumps(row) + "\n" for row in rows), "predictions.jsonl")


def test_hard_decisions(tmp_path: Path) -> None:
    found = read_predictions(written(tmp_path, HARD))
    assert found.image_ids == ("a", "b", "c")
    assert found.answers.names == PLANES
    assert [PLANES[n] for n in found.answers.true] == ["brain", "femur", "brain"]
    assert [[PLANES[n] for n in seed] for seed in found.answers.decided] == [["brain", "other", "femur"]]
    assert found.answers.probabilities is None
    assert found.decided_by == "column predicted"
    assert (found.machines, found.shared, found.unread) == (None, None, ())


def test_a_patient_is_a_number_at_a_site(tmp_path: Path) -> None:
    found = read_predictions(written(tmp_path, HARD))
    assert found.patients.tolist() == found.answers.patients.tolist() == ["GHA/1", "GHA/1", "UGA/1"]
    assert found.answers.sites.tolist() == ["GHA", "GHA", "UGA"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_probabilities_and_delimiters(tmp_path: Path, delimiter: str) -> None:
    found = read_predictions(written(tmp_path, "\ufeff" + SOFT.replace(";", delimiter)))
    assert found.answers.names == ("abdomen", "brain", "other")
    assert found.answers.probabilities.tolist() == [[[0.1, 0.7, 0.2], [0.2, 0.3, 0.5]]]
    assert found.answers.decided.tolist() == [[1, 2]]
    assert found.decided_by == "most probable class"


def test_columns_in_any_order_and_more_of_them(tmp_path: Path) -> None:
    text = (
        "operator,other,brain,predicted,true,machine,site,patient,image_id,sha256\n"
        "Op,0.4,0.6,other,brain,Aloka,GHA,1,a,f0\nOp,0.1,0.9,brain,brain,,GHA,2,b,f0\nOp,0.1,0.9,brain,brain,E6,GHA,3,c,f1\n"
    )
    found = read_predictions(written(tmp_path, text))
    assert found.answers.names == ("brain", "other")
    assert found.answers.decided.tolist() == [[1, 0, 0]]  # as the file says, not the most probable
    assert found.machines.tolist() == ["Aloka", "unknown", "E6"]
    assert found.unread == ("operator",)
    assert found.shared.tolist() == [True, True, False]
    assert found.patients.tolist() == ["GHA/1", "GHA/2", "GHA/3"]
    assert found.answers.patients.tolist() == ["GHA/1", "GHA/1", "GHA/3"]  # patients who share a picture are one


def test_json_lines_with_probabilities_by_name_or_in_order(tmp_path: Path) -> None:
    about = {"patient": 7, "site": "GHA", "true": "brain"}
    rows = [
        {"image_id": "a", **about, "probabilities": {"kidney": 0.5, "brain": 0.5}},
        {"image_id": "b", **about, "probability_kidney": 1, "brain": 0},
    ]
    with pytest.raises(PredictionFileError, match="are probabilities of one class"):
        read_predictions(lines(tmp_path, rows))
    found = read_predictions(lines(tmp_path, rows[:1]))
    assert found.answers.names == ("brain", "kidney")
    assert found.patients.tolist() == ["GHA/7"]
    listed = read_predictions(lines(tmp_path, [{"image_id": "a", **about, "probabilities": [0, 1, 0, 0, 0]}]))
    assert listed.answers.names == PLANES
    assert listed.answers.decided.tolist() == [[1]]


def test_our_own_folders(tmp_path: Path) -> None:
    row = Prediction(
        image_id="a", patient_key="african/GHA/7", site="GHA", plane="brain", probabilities=(0.1, 0.6, 0.1, 0.1, 0.1)
    )
    write_table(tmp_path, [row])
    with pytest.raises(LabelSetError, match=r"has no label_set\.json, .* an earlier version of fulora made it"):
        read_predictions(tmp_path)
    FETAL.write(tmp_path)
    found = read_predictions(tmp_path)
    assert read_predictions(tmp_path / "table.jsonl").answers.names == found.answers.names == PLANES
    assert found.labels == FETAL
    assert found.answers.probabilities[0, 0].tolist() == list(row.probabilities)
    assert found.patients.tolist() == ["GHA/african/GHA/7"]


def test_own_labels_may_be_used_with_hard_decisions(tmp_path: Path) -> None:
    text = HARD.replace("femur,other", "kidney,other")
    with pytest.raises(PredictionFileError, match=r"row 2 \(image 'b'\): true is 'kidney' \(1 such rows\); known are"):
        read_predictions(written(tmp_path, text))
    assert read_predictions(written(tmp_path, text), ["brain", "kidney"]).answers.names == (*PLANES, "kidney")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_id,patient,site,true,predicted\n", "holds no predictions"),
        (HARD.replace("patient", "woman"), "has no column patient; its columns are image_id, woman"),
        (HARD.replace("predicted", "said"), "neither a column predicted nor probabilities"),
        (HARD.replace("b,1,", "b, ,"), r"patient is missing in 1 of 3 rows, such as line 3, row 2 \(image 'b'\)"),
        (HARD.replace("UGA", ""), r"site is missing in 1 of 3 rows, such as line 4, row 3 \(image 'c'\)"),
        (HARD.replace("c,1", "a,1"), "duplicate image_id 'a' in 2 rows"),
        (HARD.replace("brain,femur", "brain,fenur"), r"predicted is 'fenur' .*Did you mean 'femur'\?"),
        (HARD.replace("brain,femur", "Brain,femur"), r"true is 'Brain' .*Did you mean 'brain'\?"),
        (HARD.replace("brain,femur", "brain,"), r"predicted is '' \(1 such rows\)"),
        (HARD.replace("brain,femur", "brain,femur,1"), "row 3: more cells than the 5 columns"),
        (HARD.replace("site", "true"), "duplicate columns: true"),
        (SOFT.replace("0.7", "0.8"), r"row 1 \(image 'a'\): the probabilities .* add up to 1.1 \(1 such rows\)"),
        (SOFT.replace("0.2;0.3;0.5", "-0.2;0.7;0.5"), r"row 2 .* must be 0 or more and add up to 1"),
        (SOFT.replace("0.5", "n/a"), r"row 2 \(image 'b'\): other is 'n/a', which is no probability"),
        (SOFT.replace("0.5", "nan"), "other is 'nan', which is no probability"),
        (SOFT.replace(";0.5", ""), "line 3, row 2: fewer cells than the 7 columns: 6"),
        (SOFT.replace("GHA;brain", "GHA;femur"), "true is 'femur' .* known are abdomen, brain, other"),
    ],
)
def test_what_cannot_be_scored_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PredictionFileError, match=said):
        read_predictions(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"image_id": 1}\n{"image_id"\n', "line 2: .* JSON lines hold one object a line"),
        ("[1, 2]\n", r"predictions\.jsonl, row 1: '1' is no JSON object"),
        (
            '\n{"image_id": "a", "true": "brain", "probabilities": [0.5, 0.5]}\n',
            "image 'a': 2 probabilities; a list stands for abdomen",
        ),
    ],
)
def test_damaged_json_lines_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PredictionFileError, match=said):
        read_predictions(written(tmp_path, text, "predictions.jsonl"))


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(PredictionFileError, match=r"nothing\.csv: file not found"):
        read_predictions(tmp_path / "nothing.csv")
    with pytest.raises(PredictionFileError, match=r"table\.jsonl: file not found"):
        read_predictions(tmp_path)
    with pytest.raises(PredictionFileError, match=r"endings that are read are \.csv"):
        read_predictions(written(tmp_path, HARD, "predictions.xlsx"))
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PredictionFileError, match=r"bytes\.csv, line 1: byte 0x00 at offset 2 is not UTF-16"):
        read_predictions(tmp_path / "bytes.csv")


# --- two files


def test_two_files_are_put_in_one_order_and_on_the_same_classes(tmp_path: Path) -> None:
    ours = read_predictions(written(tmp_path, SOFT, "ours.csv"))
    text = "image_id,patient,site,true,predicted\nb,2,GHA,abdomen,thorax\na,1,GHA,brain,brain\n"
    first, second = paired(ours, read_predictions(written(tmp_path, text, "other.csv")))
    assert first.names == second.names == ("abdomen", "brain", "other", "femur", "thorax")
    assert first.true.tolist() == second.true.tolist() == [1, 0]
    assert first.decided.tolist() == [[1, 2]]
    assert second.decided.tolist() == [[1, 4]]
    assert first.probabilities[0, 0].tolist() == [0.1, 0.7, 0.2, 0, 0]
    assert second.probabilities is None


def test_patients_may_have_other_names_but_not_other_images(tmp_path: Path) -> None:
    ours = read_predictions(written(tmp_path, HARD))
    renamed = read_predictions(written(tmp_path, HARD.replace(",1,", ",P1,"), "renamed.csv"))
    np.testing.assert_array_equal(paired(ours, renamed)[1].patients, ours.answers.patients)
    other = read_predictions(written(tmp_path, HARD.replace("b,1,", "b,2,"), "other.csv"))
    with pytest.raises(PredictionFileError, match="do not agree on which images are of one patient"):
        paired(ours, other)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("c,1,UGA,brain,femur\n", "", r"1 only in .*ours\.csv \(such as 'c'\)\. A paired comparison"),
        ("c,1", "d,1", r"1 only in .*ours\.csv \(such as 'c'\) and 1 only in .*other\.csv \(such as 'd'\)"),
        ("UGA,brain", "UGA,thorax", r"image 'c': true is 'brain' in .* but 'thorax' in .* \(1 such images\)"),
        ("UGA", "DZA", r"image 'c': site is 'UGA' in .* but 'DZA' in"),
    ],
)
def test_files_that_cannot_be_paired_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    ours = read_predictions(written(tmp_path, HARD, "ours.csv"))
    other = read_predictions(written(tmp_path, HARD.replace(old, new), "other.csv"))
    with pytest.raises(PredictionFileError, match=said):
        paired(ours, other)


# --- missing values, in every spelling


@pytest.mark.parametrize("spelling", ["NA", "N/A", "nan", "NaN", "NULL", "None", "#N/A", "-", "."])
def test_a_missing_name_is_as_an_empty_cell(tmp_path: Path, spelling: str) -> None:
    for column, old, new in (
        ("patient", "b,1,", f"b,{spelling},"),
        ("site", "UGA", spelling),
        ("image_id", "c,", f"{spelling},"),
    ):
        said = rf"{column} is missing in 1 of 3 rows \(1 \"{spelling}\"\), such as line [34]"
        with pytest.raises(PredictionFileError, match=said):
            read_predictions(written(tmp_path, HARD.replace(old, new)))


def test_a_missing_machine_is_unknown_and_a_missing_digest_is_shared_by_no_images(tmp_path: Path) -> None:
    text = "image_id,patient,site,true,predicted,machine,sha256\n"
    text += "".join(f"{n},{n},GHA,brain,brain,{machine},NA\n" for n, machine in enumerate(("NA", "E6", "-")))
    found = read_predictions(written(tmp_path, text))
    assert found.machines.tolist() == ["unknown", "E6", "unknown"]
    assert found.answers.patients.tolist() == ["GHA/0", "GHA/1", "GHA/2"]  # not one patient of the digest "NA"
    assert not found.shared.any()
    assert found.notes == ('taken as missing: machine 1 "NA", 1 "-"; sha256 3 "NA"',)


@pytest.mark.parametrize("spelling", ["NA", "nan", "-"])
def test_a_missing_label_is_no_class(tmp_path: Path, spelling: str) -> None:
    with pytest.raises(
        PredictionFileError, match=rf"true is '{spelling}' \(1 such rows\); a missing label cannot be scored"
    ):
        read_predictions(written(tmp_path, HARD.replace("brain,femur", f"{spelling},femur")))
    rows = [{"image_id": "a", "patient": 1, "site": "GHA", "true": float("nan"), "predicted": "brain"}]
    with pytest.raises(PredictionFileError, match=r"true is 'nan' .*a missing label cannot be scored"):
        read_predictions(lines(tmp_path, rows))


def test_a_class_may_be_called_none(tmp_path: Path) -> None:
    text = HARD.replace("brain,femur", "none,none")
    assert read_predictions(written(tmp_path, text), ["none"]).answers.true.tolist()[2] == len(PLANES)


def test_patients_that_became_floats_are_the_same_patients(tmp_path: Path) -> None:
    ours = read_predictions(written(tmp_path, HARD))
    as_floats = read_predictions(written(tmp_path, HARD.replace(",1,", ",1.0,"), "floats.csv"))
    assert as_floats.patients.tolist() == ours.patients.tolist()
    rows = [{"image_id": n, "patient": 1.0, "site": "GHA", "true": "brain", "predicted": "brain"} for n in (1, 2)]
    assert read_predictions(lines(tmp_path, rows)).patients.tolist() == ["GHA/1", "GHA/1"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "brain is True, which is no probability"),
        (10**400, "brain is 1000.*, which is no probability"),
        (float("inf"), "brain is inf, which is no probability"),
        ("0_1", "brain is '0_1', which is no probability"),
        ("１", "brain is '１', which is no probability"),
        ([1], r"brain is \[1\], which is no probability"),
    ],
)
def test_json_that_is_no_probability(tmp_path: Path, value: object, said: str) -> None:
    row = {"image_id": "a", "patient": 1, "site": "GHA", "true": "brain", "brain": value, "femur": 0}
    with pytest.raises(PredictionFileError, match=said):
        read_predictions(lines(tmp_path, [row]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patient": ["a"]}, r"patient is \['a'\]; it must be text or a number"),
        ({"patient": float("inf")}, "patient is inf; it must be text or a number"),
        ({"site": "a\0"}, r"site is 'a\\x00'; a text holds no NUL"),
        ({"probabilities": 3}, "image 'a': probabilities is 3; give a list, or an object with names"),
    ],
)
def test_json_that_is_no_text(tmp_path: Path, changes: Mapping[str, Any], said: str) -> None:
    row = {"image_id": "a", "patient": 1, "site": "GHA", "true": "brain", "predicted": "brain", **changes}
    with pytest.raises(PredictionFileError, match=said):
        read_predictions(lines(tmp_path, [row]))


def test_quoted_newlines_and_row_names_of_r(tmp_path: Path) -> None:
    text = '"","image_id","patient","site","true","predicted"\n"1","a\nb",1,"GHA","brain","femur"\n'
    text += '"2","c",2,"GHA","brain","brain"\n'
    found = read_predictions(written(tmp_path, text))
    assert found.image_ids == ("a\nb", "c")
    assert found.unread == ()


def test_a_site_that_nobody_named_is_one_site(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("image_id,patient,site,true,predicted\na,1,,brain,brain\nb,2,,other,brain\n", encoding="utf-8")
    assert set(read_predictions(path).answers.sites) == {""}
