"""Which classes a table of predictions has: told, of a shipped label set, of our folders, or one's own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fulora.data.label_set import LabelSet, LabelSetError, label_set
from fulora.data.predictions.classes import ClassHints, classes_of
from fulora.data.predictions.files import read_predictions
from fulora.data.predictions.paired_predictions import paired
from fulora.data.predictions.rows import PredictionFileError
from fulora.data.results import Prediction, write_table

FETAL = label_set("fetal_planes")
MINE = LabelSet.model_validate({"name": "mine", "classes": ["cyst", "normal"]})
SIX = "image_id,patient,site,true,predicted\na,1,GHA,brain,brain\nb,1,GHA,cervix,other\n"
OWN = """image_id,patient,site,true,predicted
a,1,GHA,normal,normal
b,1,GHA,cyst,normal
c,2,UGA,normal,other
"""


def written(folder: Path, text: str, name: str = "predictions.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def lines(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    return written(folder, "".join(json.dumps(row) + "\n" for row in rows), "predictions.jsonl")


def test_names_of_ones_own_are_the_classes(tmp_path: Path) -> None:
    found = read_predictions(written(tmp_path, OWN))
    assert found.answers.names == ("cyst", "normal", "other")  # "other" alone makes it no set of fetal planes
    assert found.notes == ("classes are the names in the file: cyst, normal, other",)
    assert found.labels is None
    asked = read_predictions(written(tmp_path, OWN), ["normal", "tumour"])
    assert (asked.answers.names, asked.notes) == (("cyst", "normal", "other", "tumour"), ())


def test_thirty_classes_have_a_probability_each(tmp_path: Path) -> None:
    names = [f"view {n:02}, {'left' if n % 2 else 'right'}" for n in range(30)]
    rows = [
        {"image_id": n, "patient": n, "site": "A", "true": name, "probabilities": dict.fromkeys(names, 1 / 30)}
        for n, name in enumerate(names)
    ]
    found = read_predictions(lines(tmp_path, rows))
    assert list(found.answers.names) == names
    assert found.answers.true.tolist() == list(range(30))


def test_columns_of_ones_own_classes_need_no_prefix(tmp_path: Path) -> None:
    text = "image_id,patient,site,true,Left-Kidney,probability_none of it,age\n"
    text += "a,1,A,left kidney,0.75,0.25,31\nb,2,A,left kidney,0.5,0.5,29\n"
    found = read_predictions(written(tmp_path, text))
    assert found.answers.names == ("left kidney", "none of it")
    assert found.answers.probabilities.tolist() == [[[0.75, 0.25], [0.5, 0.5]]]
    assert found.unread == ("age",)


def test_classes_may_be_called_as_other_columns_or_differ_in_punctuation(tmp_path: Path) -> None:
    text = "image_id,patient,site,true,probability_true,probability_site\na,1,A,true,0.75,0.25\n"
    assert read_predictions(written(tmp_path, text)).answers.names == ("site", "true")
    text = "image_id,patient,site,true,grade 1+,grade 1-\na,1,A,grade 1+,0.75,0.25\nb,1,A,grade 1-,0.5,0.5\n"
    found = read_predictions(written(tmp_path, text))
    assert found.answers.names == ("grade 1+", "grade 1-")
    assert found.answers.probabilities.tolist() == [[[0.75, 0.25], [0.5, 0.5]]]


def test_a_shipped_label_set_is_recognised_by_its_names(tmp_path: Path) -> None:
    six = read_predictions(written(tmp_path, SIX))
    assert six.answers.names == label_set("fetal_planes_db").names
    brain = OWN.replace("normal", "trans-thalamic").replace("cyst", "trans-cerebellum")
    with pytest.raises(PredictionFileError, match=r"predicted is 'other' .* known are trans-thalamic, .* by --labels"):
        read_predictions(written(tmp_path, brain))


def test_a_label_set_that_is_asked_for_is_the_files(tmp_path: Path) -> None:
    text = OWN.replace("normal,other", "normal,cyst")
    found = read_predictions(written(tmp_path, text), MINE)
    assert (found.answers.names, found.labels) == (("cyst", "normal"), MINE)
    with pytest.raises(PredictionFileError, match=r"predicted is 'other' \(1 such rows\); known are cyst, normal$"):
        read_predictions(written(tmp_path, OWN), MINE)
    text = "image_id,patient,site,true,normal,probability_tumour\na,1,A,normal,0.5,0.5\n"
    with pytest.raises(PredictionFileError, match="'tumour', which is no class of the label set mine: cyst, normal"):
        read_predictions(written(tmp_path, text), MINE)


def test_a_list_of_probabilities_needs_an_order(tmp_path: Path) -> None:
    row = {"image_id": "a", "patient": 1, "site": "A", "true": "normal", "probabilities": [0.25, 0.75]}
    with pytest.raises(PredictionFileError, match=r"the order of a list of 2 probabilities is not known; name the cla"):
        read_predictions(lines(tmp_path, [row]))
    for asked in (MINE, ["cyst", "normal"]):
        assert read_predictions(lines(tmp_path, [row]), asked).answers.decided.tolist() == [[1]]
    turned = read_predictions(lines(tmp_path, [row]), ["normal", "cyst"])
    assert turned.answers.names[turned.answers.decided[0, 0]] == "cyst"
    six = row | {"true": "brain", "probabilities": [0, 0, 0, 0, 1, 0]}
    found = read_predictions(lines(tmp_path, [six]))
    assert found.answers.names[found.answers.decided[0, 0]] == "cervix"
    (note,) = found.notes
    assert note.startswith("lists of probabilities are taken in the order of the label set fetal_planes_db: abdomen,")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            OWN.replace("cyst,normal", "Normal,normal"),
            "'Normal' and 'normal' differ in case only; write a class in one",
        ),
        (
            "image_id,patient,site,true,predicted\n" + "".join(f"{n},1,A,x{n},x{n}\n" for n in range(201)),
            "true and predicted have 201 different values, and there are at most 200 classes",
        ),
    ],
)
def test_names_that_are_no_classes(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PredictionFileError, match=said):
        read_predictions(written(tmp_path, text))


def test_folders_of_other_classes_are_not_compared(tmp_path: Path) -> None:
    row = Prediction(image_id="a", patient_key="p", site="A", plane="brain", probabilities=(0, 1, 0, 0, 0))
    six = row.changed(probabilities=(0, 1, 0, 0, 0, 0))
    for name, labels, one in (("five", FETAL, row), ("six", label_set("fetal_planes_db"), six)):
        (tmp_path / name).mkdir()
        write_table(tmp_path / name, [one])
        labels.write(tmp_path / name)
    five, other = read_predictions(tmp_path / "five"), read_predictions(tmp_path / "six")
    with pytest.raises(LabelSetError, match=r"have different classes:\n(.|\n)*femur, thorax, cervix, other"):
        paired(five, other)
    with pytest.raises(PredictionFileError, match="the requested labels and the predictions have different classes"):
        read_predictions(tmp_path / "five", label_set("fetal_planes_db"))


def test_the_negative_class_is_that_of_a_label_set() -> None:
    told = ClassHints(frozenset(["brain", "femur"]), frozenset(), (), None)
    assert classes_of(told, (), None).negative == "other"
    assert classes_of(told, label_set("brain_planes"), None).negative is None
    own = ClassHints(frozenset(["other", "normal", "cyst"]), frozenset(), (), None)
    assert classes_of(own, (), None).negative is None


def test_a_shipped_label_set_that_lacks_a_class_is_noted() -> None:
    told = ClassHints(frozenset({"brain", "other", "normal"}), frozenset(), (), None)
    (note,) = classes_of(told, (), None).notes
    assert note == "classes are those of the label set fetal_planes and normal; --labels says otherwise"
    assert classes_of(ClassHints(frozenset({"brain", "other"}), frozenset(), (), None), (), None).notes == ()
