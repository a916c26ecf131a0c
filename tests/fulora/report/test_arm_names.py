"""Arms of any name, and label sets of many classes, on whole pages: no name is read as anything."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil
from report_pages import LEAKS, Page, classification, page_of_parts, stored

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.results import (
    AlphaScore,
    Forgetting,
    LeakTable,
    Measurement,
    Measurements,
    Prediction,
    Predictions,
    Scores,
)
from fulora.data.score import Score
from fulora.report.confusion import plot_confusion
from fulora.report.parts import ForgettingPart, SegmentationPart

ODD = ("a - b", "a, b", "a minus b", "real minus", "site A", "accuracy", "🙂", "胎児", "Größe", "...", "x|y", "all")


def score(quantity: str, arm: str, **more: object) -> Score:
    about = {"value": 0.2, "low": 0.1, "high": 0.3, "n_images": 20, "n_patients": 7, "rank": 1, "better": "higher"}
    return Score.model_validate(about | {"quantity": quantity, "arm": arm, "protocol": "transfer"} | more)


def predictions(folder: Path, labels: LabelSet) -> list[Predictions]:
    eye = np.eye(len(labels.names))
    rows = [
        Prediction(image_id=name, patient_key=name, site="A", plane=name, probabilities=tuple(eye[n - n % 5]))
        for n, name in enumerate(labels.names)
    ]
    return [stored(folder, Predictions, rows)]


def first_cells(page: Page, table: str) -> list[str]:
    return [line[0] for line in page.tables[table][1:]]


def test_a_report_shows_any_name_of_a_classifier_unchanged(tmp_path: Path) -> None:
    labels = LabelSet.derived(["one", "two - three", "four, five"])
    own = {"rule": "own decision", "choices": 3, "labels": labels.names}
    rows = [score("accuracy", arm, **own) for arm in ODD]
    rows += [score("accuracy", arm, baseline=ODD[0], role="exploratory", p=0.01, **own) for arm in ODD[1:]]
    seeds = predictions(tmp_path / "predictions", labels)
    page = page_of_parts(tmp_path, classification(tmp_path, labels, rows, dict.fromkeys(ODD, seeds)))
    assert first_cells(page, "Classification of the unseen population") == list(ODD)
    assert first_cells(page, "Arms compared") == [f"{arm} minus a - b" for arm in ODD[1:]]
    compared = page.csv("arms-compared")
    assert [(line["arm"], line["baseline"]) for line in compared] == [(arm, "a - b") for arm in ODD[1:]]
    assert {line["labels"] for line in compared} == {"|".join(labels.names)}
    assert all(f"Accuracy of {arm} minus a - b (exploratory)" in page.markdown() for arm in ODD[1:])


def test_a_report_shows_any_name_of_a_network_unchanged(tmp_path: Path) -> None:
    mask = {"protocol": "segmentation", "structure": "cavum, left"}
    rows = [score("Dice", arm, **mask) for arm in ODD]
    rows += [score("Dice", arm, baseline="a, b", role="exploratory", p=0.5, **mask) for arm in ODD if arm != "a, b"]
    part = SegmentationPart(
        ImageSet(tmp_path, ""),
        masks={},
        measurements={arm: [stored(tmp_path / f"arm {n}", Measurements, [dice(0.5)])] for n, arm in enumerate(ODD)},
        scores=stored(tmp_path / "scores", Scores, rows),
        leaks=stored(tmp_path / "leaks", LeakTable, LEAKS),
        sweep={"curve": {arm: Rows(number) for number, arm in enumerate(ODD)}},
    )
    page = page_of_parts(tmp_path, part)
    assert list(page.figures) == ["arms-dice-cavum-left-1", "gains-dice-cavum-left-1", "sizes-dice-cavum-left-1"]
    assert first_cells(page, "Segmentation (cavum, left)") == list(ODD)
    assert first_cells(page, "Segmentation arms compared") == [f"{arm} minus a, b" for arm in ODD if arm != "a, b"]


class Rows(ImageSet):
    """A set of so many training images, which nobody looks at."""

    def __init__(self, count: int) -> None:
        super().__init__(Path("nowhere"), "")
        object.__setattr__(self, "count", count)

    def rows(self, *splits: str) -> list[object]:  # type: ignore[override]
        return [None] * self.count  # type: ignore[attr-defined]


def dice(value: float) -> Measurement:
    return Measurement(
        image_id="i", patient_key="p", site="A", structure="all", quantity="dice", unit="1", value=value, reference=None
    )


@pytest.mark.slow
def test_adapted_clips_of_any_name_have_a_figure_and_a_file_each(tmp_path: Path) -> None:
    rows = [
        AlphaScore(alpha=alpha, population="p", value=0.5, low=0.4, high=0.6, n_images=9, n_patients=3)
        for alpha in (0.0, 1.0)
    ]
    names = ("x, y", "x / y", "x-y-2", "胎児", "🙂")
    page = page_of_parts(tmp_path, ForgettingPart(dict.fromkeys(names, stored(tmp_path / "rows", Forgetting, rows))))
    assert first_cells(page, "Accuracy between the original and the tuned weights")[::2] == list(names)
    files = ["x-y", "x-y-2", "x-y-2-2", "unnamed", "unnamed-2"]
    assert list(page.figures) == [f"forgetting-{file}" for file in files]
    assert [caption.split(": ")[0] for caption in page.figures.values()] == list(names)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(page.figures)


def test_every_metric_compared_has_its_columns_whatever_its_name(tmp_path: Path) -> None:
    names = ("Dice", "Dice, all", "HC - BPD", "p")
    rows = [score("Dice", "a")]
    rows += [
        score(name, "a", baseline="b", rank=rank, role="declared", p=0.01, unit="mm" if rank == 3 else "1")
        for rank, name in enumerate(names, start=1)
    ]
    page = page_of_parts(tmp_path, classification(tmp_path, LabelSet.derived(["one", "two"]), rows))
    header = page.tables["Arms compared"][0]
    assert header[:-3] == ["Comparison", "Dice", "p", "Dice, all", "p", "HC - BPD (mm)", "p", "P", "p"]
    sentences = [
        line.split(" of a minus b")[0]
        for line in page.sections["Does synthetic data help on patients not seen in training?"]
    ]
    assert sentences[1:] == ["Dice", "Dice, all", "HC - BPD", "P"]


THIRTY = LabelSet.derived([f"class {number:02} of a long list" for number in range(30)])


@pytest.mark.slow
def test_thirty_classes_are_readable(tmp_path: Path) -> None:
    own = {"rule": "own decision", "choices": 30, "labels": THIRTY.names}
    arms = ("real", "hybrid")
    rows = [score("accuracy", arm, **own) for arm in arms]
    rows += [
        score("recall", arm, group={"kind": "class", "name": name}, rank=0) for arm in arms for name in THIRTY.names
    ]
    seeds = predictions(tmp_path / "predictions", THIRTY)
    page = page_of_parts(tmp_path, classification(tmp_path, THIRTY, rows, {"real": seeds}))
    header, *lines = page.tables["Recall by class"]
    assert (header, len(lines)) == (["Class", "real", "hybrid"], 30)
    assert page.notes["Classification of the unseen population"] == ["30-way, own decision; over 30 classes"]
    with Pil.open(tmp_path / "figures" / "confusion-real.png") as picture:
        assert 2000 < picture.width < 4000


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 5, 12, 13, 50])
def test_matrices_of_any_size_are_drawn(count: int) -> None:
    """Of many classes most cells are empty, as those of a classifier are."""
    random = np.random.default_rng(0)
    matrix = random.integers(1, 30, (count, count)) * (random.random((count, count)) < 6 / count)
    with Pil.open(io.BytesIO(plot_confusion(matrix, [f"class {n}" for n in range(count)]))) as picture:
        assert picture.width > 300
        assert picture.width < 5000


def test_labels_are_named_and_many_are_counted(tmp_path: Path) -> None:
    labels = {"few": ("a", "b"), "many": tuple(map(str, range(13)))}
    rows = [score("accuracy", arm, labels=names) for arm, names in labels.items()]
    page = page_of_parts(tmp_path, classification(tmp_path, LabelSet.derived(["one", "two"]), rows))
    assert page.notes["Classification of the unseen population"] == ["¹ over a, b", "² over 13 classes"]
