"""Arms of any name, and label sets of many classes, through whole sections and pages: no name is read as anything."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.leak_check import Overlap
from fulora.data.results import AlphaScore, Prediction
from fulora.data.score import Score
from fulora.report.classification import classification_section
from fulora.report.comparisons import comparison_sentences, comparison_tables
from fulora.report.confusion import plot_confusion
from fulora.report.forgetting import forgetting_sections
from fulora.report.page import ProvenanceRow, Section, file_words, write_report
from fulora.report.segmentation import segmentation_section
from fulora.report.wording import labels_words

ODD = ("a - b", "a, b", "a minus b", "real minus", "site A", "accuracy", "🙂", "胎児", "Größe", "...", "x|y", "all")
LEAKS = (Overlap(trained_on="LoRA", images=9, patients=4),)


def score(quantity: str, arm: str, **more: object) -> Score:
    about = {"value": 0.2, "low": 0.1, "high": 0.3, "n_images": 20, "n_patients": 7, "rank": 1, "better": "higher"}
    return Score.model_validate(about | {"quantity": quantity, "arm": arm, "protocol": "transfer"} | more)


def page(folder: Path, section: Section) -> str:
    row = ProvenanceRow("s", "s", "aa", "bb", {}, 1, {})
    write_report(folder, title="t", summary=["s"], sections=[section], provenance=[row])
    return (folder / "report.html").read_text(encoding="utf-8")


def predictions(labels: LabelSet) -> list[Prediction]:
    eye = np.eye(len(labels.names))
    return [
        Prediction(image_id=name, patient_key=name, site="A", plane=name, probabilities=tuple(eye[n - n % 5]))
        for n, name in enumerate(labels.names)
    ]


def test_classifiers_of_any_name_stand_in_a_report_as_they_are(tmp_path: Path) -> None:
    labels = LabelSet.derived(["one", "two - three", "four, five"])
    own = {"rule": "own decision", "choices": 3, "labels": labels.names}
    rows = [score("accuracy", arm, **own) for arm in ODD]
    rows += [score("accuracy", arm, baseline=ODD[0], role="exploratory", p=0.01, **own) for arm in ODD[1:]]
    made = classification_section({arm: [predictions(labels)] for arm in ODD}, labels, rows, {}, LEAKS)
    (compared,) = [table for table in made.tables if table.title == "Arms compared"]
    assert [line[0] for line in compared.rows] == [f"{arm} minus a - b" for arm in ODD[1:]]
    raw = list(csv.DictReader(io.StringIO("\n".join(",".join(f'"{c}"' for c in line) for line in compared.raw))))
    assert [(line["arm"], line["baseline"]) for line in raw] == [(arm, "a - b") for arm in ODD[1:]]
    assert {line["labels"] for line in raw} == {"|".join(labels.names)}
    text = page(tmp_path, made)
    assert all(arm in text for arm in ODD)


def test_networks_of_any_name_stand_in_a_report_as_they_are(tmp_path: Path) -> None:
    mask = {"protocol": "segmentation", "structure": "cavum, left"}
    rows = [score("Dice", arm, **mask) for arm in ODD]
    rows += [score("Dice", arm, baseline="a, b", role="exploratory", p=0.5, **mask) for arm in ODD if arm != "a, b"]
    sweep = {"curve": {arm: float(number) for number, arm in enumerate(ODD)}}
    found = segmentation_section(ImageSet(tmp_path, ""), {}, {}, rows, sweep, [])
    assert [figure.name for figure in found.figures] == [
        "arms-dice-cavum-left-1",
        "gains-dice-cavum-left-1",
        "sizes-dice-cavum-left-1",
    ]
    text = page(tmp_path, found)
    assert all(arm in text for arm in ODD)


def test_adapted_clips_of_any_name_have_a_figure_each() -> None:
    rows = [
        AlphaScore(alpha=alpha, population="p", value=0.5, low=0.4, high=0.6, n_images=9, n_patients=3)
        for alpha in (0.0, 1.0)
    ]
    (section,) = forgetting_sections(dict.fromkeys(ODD, rows))
    assert len({figure.name for figure in section.figures}) == len(ODD)
    assert [line[0] for line in section.tables[0].rows[::2]] == list(ODD)


def test_names_that_only_signs_tell_apart_have_files_of_their_own() -> None:
    assert file_words(["x, y", "x / y", "x-y-2", "胎児", "🙂"]) == {
        "x, y": "x-y",
        "x / y": "x-y-2",
        "x-y-2": "x-y-2-2",
        "胎児": "unnamed",
        "🙂": "unnamed-2",
    }


def test_every_metric_compared_has_its_columns_whatever_its_name() -> None:
    names = ("Dice", "Dice, all", "HC - BPD", "p")
    rows = [
        score(name, "a", baseline="b", rank=rank, role="declared", p=0.01, unit="mm" if rank == 3 else "1")
        for rank, name in enumerate(names, start=1)
    ]
    (table,) = comparison_tables(rows, "Compared", "")
    assert table.header[:-3] == ("Comparison", "Dice", "p", "Dice, all", "p", "HC - BPD (mm)", "p", "P", "p")
    assert len(comparison_sentences(rows)) == 4


THIRTY = LabelSet.derived([f"class {number:02} of a long list" for number in range(30)])


def test_thirty_classes_are_readable(tmp_path: Path) -> None:
    own = {"rule": "own decision", "choices": 30, "labels": THIRTY.names}
    rows = [score("accuracy", arm, **own) for arm in ("real", "hybrid")]
    rows += [
        score("recall", arm, group={"kind": "class", "name": name}, rank=0)
        for arm in ("real", "hybrid")
        for name in THIRTY.names
    ]
    made = classification_section({arm: [predictions(THIRTY)] for arm in ("real", "hybrid")}, THIRTY, rows, {}, LEAKS)
    (recall,) = [table for table in made.tables if table.title == "Recall by class"]
    assert (recall.header, len(recall.rows)) == (("", "real", "hybrid"), 30)
    assert made.tables[0].notes == ("30-way, own decision; over 30 classes",)
    (figure,) = [figure for figure in made.figures if figure.name == "confusion-real"]
    with Pil.open(io.BytesIO(figure.png)) as picture:
        assert 2000 < picture.width < 4000
    page(tmp_path, made)


@pytest.mark.parametrize("count", [2, 5, 12, 13, 50])
def test_matrices_of_any_size_are_drawn(count: int) -> None:
    matrix = np.random.default_rng(0).integers(0, 30, (count, count))
    with Pil.open(io.BytesIO(plot_confusion(matrix, [f"class {n}" for n in range(count)]))) as picture:
        assert picture.width > 300
        assert picture.width < 5000


def test_many_labels_are_counted() -> None:
    assert labels_words(["a", "b"]) == "a, b"
    assert labels_words([str(n) for n in range(13)]) == "13 classes"
