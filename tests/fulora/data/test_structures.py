"""What the masks of a label set hold: numbers, outputs of a network, and label sets whose structures differ."""

import numpy as np
import pytest
from pydantic import ValidationError

from fulora.data.label_class import LabelClass, Structure
from fulora.data.label_set import LabelSet, label_set
from fulora.data.structures import (
    StructureError,
    check_numbers,
    outputs_of,
    refuse_missing_structures,
    refuse_other_structures,
    structures_of,
    with_masks,
)


def labels(**structures: dict[str, object]) -> LabelSet:
    classes = [{"name": name, "structures": held} for name, held in structures.items()]
    return LabelSet.model_validate({"name": "mine", "classes": classes})


def test_structures_and_outputs_follow_from_the_numbers() -> None:
    assert structures_of(label_set("intrapartum")) == {1: "symphysis", 2: "head"}
    assert outputs_of(label_set("intrapartum")) == 3
    assert with_masks(label_set("fetal_planes")).names == ("brain",)
    assert outputs_of(label_set("fetal_planes")) == outputs_of(label_set("brain_planes")) == 1
    assert outputs_of(labels(a={"x": 3})) == 4
    assert structures_of(labels(a={"x": 2}, b={"y": 1}, c={})) == {1: "y", 2: "x"}


def test_label_sets_that_one_network_cannot_learn_are_refused() -> None:
    with pytest.raises(StructureError, match=r"none of its classes .* says what its masks hold"):
        with_masks(LabelSet.derived(["a", "b"]))
    with pytest.raises(StructureError, match="class number 1 is head in one class and symphysis in intrapartum"):
        structures_of(label_set("fetal_planes").joined(label_set("intrapartum")))


def test_other_structures_are_refused_and_both_are_printed() -> None:
    ours, theirs = label_set("fetal_planes"), label_set("intrapartum")
    with pytest.raises(StructureError) as caught:
        refuse_other_structures(ours, theirs, name="the network", other_name="the images")
    assert "the network: 1 head (label set fetal_planes)" in str(caught.value)
    assert "the images: 1 symphysis, 2 head (label set intrapartum)" in str(caught.value)
    refuse_other_structures(ours, labels(scan={"head": 1}), name="the network", other_name="the images")


def test_a_class_number_without_a_name_is_refused() -> None:
    shows = LabelClass.model_validate({"name": "scan", "structures": {"cyst": 1, "duct": 3}})
    mask = np.array([[0, 1], [3, 3]], np.uint8)
    check_numbers(mask, shows, "a.png")
    with pytest.raises(StructureError, match=r"a\.png: .* class number 2, which scan .* names 1 cyst, 3 duct, and 0"):
        check_numbers(mask + np.uint8(mask == 1), shows, "a.png")


@pytest.mark.parametrize("number", [0, 16, 255])
def test_a_class_number_is_no_shade_of_gray(number: int) -> None:
    with pytest.raises(ValidationError, match=r"a class number is 1 to 15 .* 255 alone is class 1"):
        Structure(number=number)


def test_structures_that_no_training_mask_holds_are_refused() -> None:
    labels = LabelSet.model_validate({"name": "x", "classes": [{"name": "a", "structures": {"liver": 1, "spleen": 2}}]})
    mask = np.array([[0, 1], [2, 1]], np.uint8)
    refuse_missing_structures([mask], labels, whose="the masks")
    with pytest.raises(StructureError, match=r"the masks: no mask holds class number 2 \(spleen\), .* they hold 1\."):
        refuse_missing_structures([np.minimum(mask, 1)], labels, whose="the masks")
