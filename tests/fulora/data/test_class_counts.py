"""Classes that only training or only the test set shows, with their numbers of images."""

import pytest

from fulora.data.class_counts import ClassCounts, MissingClassError, check_classes

COUNTS = ClassCounts(
    {"planes": {"brain": 5, "other": 15}, "more": {"brain": 2, "thorax": 1}}, {"brain": 60, "thorax": 36}
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
    check_classes(ClassCounts({"planes": {"brain": 1}}, {"brain": 2}))
