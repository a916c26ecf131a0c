"""Classes that only training or only the test set shows, with their numbers of images."""

from pathlib import Path

import pytest

from fulora.data.class_counts import ClassCounts, MissingClassError, check_classes, class_counts
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, LabelSetError, label_set

FETAL = label_set("fetal_planes")

COUNTS = ClassCounts(
    FETAL, {"planes": {"brain": 5, "other": 15}, "more": {"brain": 2, "thorax": 1}}, {"brain": 60, "thorax": 36}
)


def test_what_is_missing_where() -> None:
    found = COUNTS.missing()
    assert list(found) == ["thorax", "other"]
    (untrained,) = found["thorax"]
    assert untrained.startswith("Training (planes) has no image of the class 'thorax' and the test set has 36:")
    (untested,) = found["other"]
    assert untested.startswith("The test set has no image of the class 'other' and training (planes) has 15:")
    assert COUNTS.sentences() == [untrained, untested]
    assert list(COUNTS.missing(accepted=["thorax"])) == ["other"]


def test_the_table_has_every_count() -> None:
    assert [line.split() for line in COUNTS.table()] == [
        ["brain", "thorax", "other"],
        ["training", "(planes)", "5", "0", "15"],
        ["training", "(more)", "2", "1", "0"],
        ["test", "60", "36", "0"],
    ]


def test_only_what_is_not_accepted_stops() -> None:
    with pytest.raises(
        MissingClassError, match=r"do not show the same classes(.|\n)*accept_missing_classes=\[thorax, other\]"
    ):
        check_classes(COUNTS, ["thorax"])
    check_classes(COUNTS, ["thorax", "other"])
    check_classes(ClassCounts(FETAL, {"planes": {"brain": 1}}, {"brain": 2}))


def test_class_names_are_in_the_order_of_their_label_set() -> None:
    labels = LabelSet.model_validate({"name": "mine", "classes": ["zyst, left", "Ähnlich", "normal"]})
    counts = ClassCounts(labels, {"images": {"normal": 1, "zyst, left": 2}}, {"normal": 1, "Ähnlich": 4})
    assert counts.classes() == ["zyst, left", "Ähnlich", "normal"]
    assert list(counts.missing()) == ["zyst, left", "Ähnlich"]


def test_sets_of_other_classes_are_not_counted_together(tmp_path: Path) -> None:
    for name, labels in (("tested", FETAL), ("trained", label_set("fetal_planes_db"))):
        (tmp_path / name).mkdir()
        ImageSet.write(tmp_path / name, [], labels=labels)
    tested, trained = (ImageSet(tmp_path / name, "") for name in ("tested", "trained"))
    with pytest.raises(LabelSetError, match=r"training \(more\): abdomen, brain, femur, thorax, cervix, other"):
        class_counts({"planes": tested, "more": trained}, tested)
