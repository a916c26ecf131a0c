"""Predictions that can be scored and may mean something else."""

from pathlib import Path

import pytest

from fulora.data.predictions.files import read_predictions
from fulora.data.predictions.rows import PredictionFileError

HEADER = "image_id,patient,site,true,predicted"


def table(folder: Path, *rows: str, header: str = HEADER, name: str = "p.csv") -> Path:
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder / name


@pytest.mark.parametrize(("one", "other"), [("001", "1"), ("P01", "p01"), ("0", "00")])
def test_one_patient_in_two_spellings_is_refused(tmp_path: Path, one: str, other: str) -> None:
    path = table(tmp_path, f"a,{one},A,brain,brain", f"b,{other},A,femur,femur")
    first, second = sorted((one, other))
    with pytest.raises(PredictionFileError, match=f"1 patients are spelled in two ways.*{first} = {second}.*site 'A'"):
        read_predictions(path)


def test_keys_of_an_image_set_are_compared_by_their_patient(tmp_path: Path) -> None:
    with pytest.raises(PredictionFileError, match="own/A/001 = own/A/1"):
        read_predictions(table(tmp_path, "a,own/A/001,A,brain,brain", "b,own/A/1,A,brain,brain"))
    assert read_predictions(table(tmp_path, "a,hc18/A/001,A,brain,brain", "b,hc18/A/1,A,brain,brain")).notes == ()


def test_a_patient_number_at_two_sites_is_noted(tmp_path: Path) -> None:
    found = read_predictions(table(tmp_path, "a,P01,A,brain,brain", "b,p01,B,femur,femur", "c,2,B,femur,femur"))
    assert found.notes == ("1 patient numbers occur at two or more sites, and count as a patient at each: P01 (A, B)",)
    assert len(set(found.patients)) == 3


def test_a_decision_that_is_not_the_most_probable_class_is_noted(tmp_path: Path) -> None:
    header = f"{HEADER},Brain,FEMUR"
    rows = ("a,1,A,brain,femur,0.9,0.1", "b,2,A,femur,femur,0.2,0.8", "c,3,A,brain,femur,0.5,0.5")
    found = read_predictions(table(tmp_path, *rows, header=header))
    assert found.answers.decided.tolist() == [[1, 1, 1]]
    assert found.notes[0].startswith("predicted is not the most probable class in 1 of 3 rows")


def test_names_of_columns_in_any_case(tmp_path: Path) -> None:
    header = "Image ID;Patient;SITE;True;Probability_Brain;probability_FEMUR"
    path = table(tmp_path, "a;1,000;A;brain;0,9;0,1", "b;1;A;femur;0,2;0,8", header=header)
    found = read_predictions(path)
    assert found.answers.probabilities is not None
    assert found.answers.probabilities.tolist() == [[[0.9, 0.1], [0.2, 0.8]]]
    assert found.patients.tolist() == ["A/1,000", "A/1"]  # a comma in a name is not decimal
    with pytest.raises(PredictionFileError, match="columns 'Patient' and 'patient' are both patient; give one"):
        read_predictions(table(tmp_path, "a,1,1,A,brain,brain", header="image_id,Patient,patient,site,true,predicted"))


@pytest.mark.parametrize(
    "text",
    [
        '{"image_id": {"0": "a"}, "patient": {"0": "1"}}',
        '{"columns": ["image_id"], "index": [0], "data": [["a"]]}',
        '{\n "image_id": {\n  "0": "a"}}',
        '[["a", "1"]]',
    ],
)
def test_a_table_by_columns_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(PredictionFileError, match=r'p\.json.*orient="records"'):
        read_predictions(tmp_path / "p.json")
