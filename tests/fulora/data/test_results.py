"""Results and arrays: tables come back as they were written, and wrong sets are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row
from PIL import Image as Pil
from pydantic import ValidationError

from fulora.data.column_types import Plane
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSetError, label_set
from fulora.data.pictures.loaders import class_indices, load_masks, load_pixels
from fulora.data.results import (
    MaskSet,
    Measurement,
    Measurements,
    PredictionFacts,
    Predictions,
    Scores,
    write_predictions,
    write_table,
)
from fulora.data.score import Score, ScoreConfig
from fulora.json_files import DamagedFileError
from fulora.metrics.image_groups import ImageGroup

FETAL = label_set("fetal_planes")

FACTS = PredictionFacts(protocol="transfer", training_prior=(0.2,) * 5, about="how")


def row(number: int, plane: Plane = "brain") -> Image:
    return image_row(f"i{number}", plane=plane, patient=str(number), height=6)


def picture(number: int, shape: tuple[int, int] = (6, 8)) -> Picture:
    return Picture(row(number), np.full(shape, number, np.uint8), np.full(shape, number % 2, np.uint8))


def test_predictions_come_back_in_order(tmp_path: Path) -> None:
    rows = [row(3, "femur"), row(1).model_copy(update={"machine": "old"})]
    write_predictions(tmp_path, rows, np.array([[0.1, 0.2, 0.3, 0.4, 0.0], [1 / 3, 1 / 3, 1 / 3, 0, 0]]), FACTS, FETAL)
    first, second = Predictions(tmp_path, "").rows()
    assert (first.image_id, first.patient_key, first.site, first.plane) == ("i3", "s/A/3", "A", "femur")
    assert first.probabilities == (0.1, 0.2, 0.3, 0.4, 0.0)
    assert second.probabilities == (1 / 3, 1 / 3, 1 / 3, 0.0, 0.0)
    assert (second.machine, second.sha256) == ("old", "")
    assert Predictions(tmp_path, "").facts() == FACTS
    assert Predictions(tmp_path, "").label_set() == FETAL
    (tmp_path / "label_set.json").unlink()
    with pytest.raises(LabelSetError, match=r"has no label_set\.json, .* Run the same command or study again"):
        Predictions(tmp_path, "").label_set()


def test_predictions_are_of_the_classes_of_their_label_set(tmp_path: Path) -> None:
    with pytest.raises(LabelSetError, match="6 probabilities an image, and the label set fetal_planes has 5 classes"):
        write_predictions(tmp_path, [row(1)], np.zeros((1, 6)), FACTS, FETAL)
    with pytest.raises(LabelSetError, match="'kidney' is no class of the label set fetal_planes"):
        write_predictions(tmp_path, [row(1, "kidney")], np.zeros((1, 5)), FACTS, FETAL)


def test_patients_who_share_a_picture_count_as_one(tmp_path: Path) -> None:
    rows = [row(1), row(2).model_copy(update={"sha256": "p"}), row(3).model_copy(update={"sha256": "p"}), row(4)]
    write_predictions(tmp_path, rows, np.full((4, 5), 0.2), FACTS, FETAL)
    assert [found.patient_key for found in Predictions(tmp_path, "").rows()] == ["s/A/1", "s/A/2", "s/A/2", "s/A/4"]


def test_every_row_needs_a_prediction(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_predictions(tmp_path, [row(1)], np.zeros((2, 5)), FACTS, FETAL)
    with pytest.raises(ValueError, match="4 probabilities an image, and the label set fetal_planes has 5 classes"):
        write_predictions(tmp_path, [row(1)], np.zeros((1, 4)), FACTS, FETAL)


def test_measurements_keep_their_failures(tmp_path: Path) -> None:
    given = [
        Measurement(
            image_id="a",
            patient_key="p",
            site="A",
            structure="head",
            quantity="hc",
            unit="mm",
            value=None,
            reference=170.0,
            failure="empty_mask",
        ),
        Measurement(
            image_id="b",
            patient_key="p",
            site="A",
            structure="all",
            quantity="dice",
            unit="1",
            value=0.9,
            reference=None,
        ),
    ]
    write_table(tmp_path, given)
    assert Measurements(tmp_path, "").rows() == given
    with pytest.raises(ValidationError, match="unit"):
        Measurement.model_validate(given[0].model_dump() | {"unit": "cm"})


def test_scores_come_back(tmp_path: Path) -> None:
    site = ImageGroup("site", "A, B | all")
    given = [
        Score(
            quantity="accuracy",
            arm="real",
            value=0.1,
            protocol="transfer",
            group=site,
            labels=("a, b", "c"),
            n_images=3,
            n_patients=2,
            note="é",
        )
    ]
    write_table(tmp_path, given)
    assert Scores(tmp_path, "").rows() == given
    with pytest.raises(ValidationError, match="protocol"):
        Score.model_validate(given[0].model_dump() | {"protocol": "magic"})
    with pytest.raises(ValidationError, match="finite"):
        Score.model_validate(given[0].model_dump() | {"value": float("nan")})


def test_scores_of_an_earlier_version_are_refused_with_what_to_do(tmp_path: Path) -> None:
    old = {"name": "accuracy, hybrid minus real", "arm": "hybrid - real", "value": 0.1, "group": "all"}
    (tmp_path / "table.jsonl").write_text(json.dumps(old) + "\n")
    with pytest.raises(DamagedFileError, match="earlier version of fulora have other fields: run the same study or"):
        Scores(tmp_path, "").rows()


@pytest.mark.parametrize(("field", "value"), [("draws", 0), ("level", 0.0), ("level", 1.0)])
def test_intervals_need_draws_and_a_level(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        ScoreConfig.model_validate({field: value})


def test_masks_are_found_by_their_image(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    mask = np.eye(4, dtype=np.uint8)
    Pil.fromarray(mask).save(tmp_path / "masks" / "i1.png")
    np.testing.assert_array_equal(MaskSet(tmp_path, "").mask("i1"), mask)


def test_a_set_becomes_arrays_in_the_order_of_its_rows(tmp_path: Path) -> None:
    ImageSet.write(tmp_path, [picture(n) for n in range(4)], labels=FETAL)
    images = ImageSet(tmp_path, "")
    rows = images.rows()[::-1]
    assert load_pixels(images, rows)[:, 0, 0].tolist() == [3, 2, 1, 0]
    assert load_pixels(images, rows).shape == (4, 6, 8)
    assert load_masks(images, rows)[:, 0, 0].tolist() == [1, 0, 1, 0]
    assert load_pixels(images, rows).dtype == load_masks(images, rows).dtype == np.uint8


def test_nothing_and_several_sizes_are_refused(tmp_path: Path) -> None:
    ImageSet.write(tmp_path, [picture(1), picture(2, (4, 4))], labels=FETAL)
    images = ImageSet(tmp_path, "")
    with pytest.raises(ValueError, match="there are no images to load"):
        load_pixels(images, [])
    with pytest.raises(ValueError, match=r"images of several sizes \(\[\(4, 4\), \(6, 8\)\]\)"):
        load_pixels(images, images.rows())


def test_classes_become_their_place_in_the_label_set() -> None:
    assert class_indices([row(n, name) for n, name in enumerate(FETAL.names)], FETAL).tolist() == [0, 1, 2, 3, 4]
    assert class_indices([row(1, "trans-ventricular")], label_set("brain_planes")).tolist() == [2]
    assert class_indices([], FETAL).dtype == np.int64
    with pytest.raises(LabelSetError, match="'intrapartum' is no class of the label set fetal_planes"):
        class_indices([row(1), row(2, "intrapartum")], FETAL)
