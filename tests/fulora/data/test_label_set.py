"""Label sets: shipped, of one's own, derived; what they refuse; and that two that differ do not meet."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from fulora.data.label_set import (
    SHIPPED,
    LabelSet,
    LabelSetError,
    as_label_set,
    label_set,
    read_label_set,
    refuse_other_classes,
)


def of(*classes: object, **values: object) -> LabelSet:
    return LabelSet.model_validate({"name": "mine", "classes": list(classes), **values})


def test_four_are_shipped() -> None:
    assert {path.stem for path in SHIPPED.glob("*.yaml")} == {
        "fetal_planes",
        "fetal_planes_db",
        "brain_planes",
        "intrapartum",
    }
    assert [len(label_set(path.stem).classes) for path in sorted(SHIPPED.glob("*.yaml"))] == [3, 5, 6, 1]
    assert label_set("fetal_planes").negative == "other"
    assert label_set("brain_planes").negative is None
    assert label_set("intrapartum").of("intrapartum").parts() == {"symphysis": (1,), "head": (2,), "all": (1, 2)}


def test_a_name_is_enough_for_a_class() -> None:
    labels = of("left kidney", {"name": "right kidney", "caption": "a scan", "structures": {"kidney": 1}})
    assert labels.captions == {"left kidney": "a photo of left kidney", "right kidney": "a scan"}
    assert labels.prompts == {"left kidney": ("a photo of left kidney",), "right kidney": ("a scan",)}
    kidney = labels.of("right kidney").structures["kidney"]
    assert (kidney.number, kidney.measured, kidney.unit) == (1, "nothing", "1")


def test_derived_of_folders() -> None:
    labels = LabelSet.derived(["b", "A", "c {d}"], "ultrasound of {name}")
    assert labels.names == ("A", "b", "c {d}")
    assert labels.captions["c {d}"] == "ultrasound of c {d}"
    assert labels.negative is None


def test_words_of_folders_and_lists() -> None:
    labels = of({"name": "brain", "folders": ["Fetal brain"], "aliases": ["Gehirn"]}, "femur")
    assert [labels.named(text) for text in ("BRAIN", "fetal_brain", " gehirn ", "femur", "leg")] == [
        "brain",
        "brain",
        "brain",
        "femur",
        None,
    ]
    assert labels.places(["femur", "brain"]) == [1, 0]
    with pytest.raises(LabelSetError, match="'leg' is no class of the label set mine; it has brain, femur"):
        labels.places(["leg"])


def test_it_survives_its_file(tmp_path: Path) -> None:
    for name in ("fetal_planes", "intrapartum"):
        label_set(name).write(tmp_path)
        assert read_label_set(tmp_path) == label_set(name)


def test_an_old_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelSetError, match=r"has no label_set.json.*Run the same command or study again"):
        read_label_set(tmp_path)


@pytest.mark.parametrize(
    ("classes", "more", "message"),
    [
        (["a", "a"], {}, "each has a name of its own"),
        (["a", "A"], {}, "'a' names both a and A"),
        ([{"name": "a", "aliases": ["x"]}, {"name": "b", "folders": ["X"]}], {}, "'x' names both a and b"),
        ([{"name": "a", "negative": True}, {"name": "b", "negative": True}], {}, "one class at most"),
        (["a"], {"distractors": {"x": ["y"]}}, "none of the classes is one"),
        (["a "], {}, "neither begins nor ends"),
        (["a/b"], {}, "a class name has 1 to 80 characters"),
        (["腎" * 67], {}, "200 bytes at most in UTF-8"),
        (["All"], {}, "'All' is no name of a class: tables call all of them so"),
        ([{"name": "a", "prompts": [" "]}], {}, "an empty text"),
        ([], {}, "at least 1 item"),
        ([{"name": "a", "structures": {"all": 1}}], {}, "'all' is no name of a structure"),
        ([{"name": "a", "structures": {"x": 1, "y": 1}}], {}, "class number of its own"),
        ([{"name": "a", "structures": {"x": {"number": 1, "measured": "angle"}}}], {}, "between two structures"),
        ([{"name": "a", "structures": {"x": {"number": 1, "measured": "ellipse", "unit": "deg"}}}], {}, "mm or px"),
    ],
)
def test_what_is_refused(classes: list[object], more: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        of(*classes, **more)


def test_by_name_or_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nclasses: [a, b]\n")
    assert as_label_set(str(path)) == of("a", "b")
    with pytest.raises(LabelSetError, match="no label set; shipped: brain_planes, fetal_planes, "):
        as_label_set("planes")
    path.write_text("name: mine\nclasses: [a, a]\n")
    with pytest.raises(ValueError, match=r"mine\.yaml: 1 error"):
        as_label_set(str(path).replace("mine", "./mine"))


def test_two_sets_in_one() -> None:
    both = label_set("fetal_planes").joined(label_set("intrapartum"), label_set("fetal_planes"))
    assert both.names == (*label_set("fetal_planes").names, "intrapartum")
    with pytest.raises(LabelSetError, match="do not fit into one"):
        of({"name": "a", "negative": True}).joined(of({"name": "b", "negative": True}))


def test_sets_that_differ_do_not_meet() -> None:
    refuse_other_classes(of("a", "b"), of({"name": "a", "caption": "x"}, "b"), name="x", other_name="y")
    for other in (of("b", "a"), of("a"), of("a", {"name": "b", "negative": True})):
        with pytest.raises(LabelSetError, match=r"the network: a, b, label set mine\n  the test: "):
            refuse_other_classes(of("a", "b"), other, name="the network", other_name="the test")


def test_some_of_the_classes() -> None:
    labels = label_set("fetal_planes").only(["femur", "brain"])
    assert (labels.names, labels.distractors) == (("brain", "femur"), {})


def test_names_that_are_no_classes_are_listed_with_those_that_are() -> None:
    labels = of("a", "b", "腎" * 66)
    labels.require(["b", "a"], where="x")
    labels.require([], where="x")
    with pytest.raises(LabelSetError, match=r"mix\.ratio: 'c', 'B': no class of the label set mine; it has a, b, 腎"):
        labels.require(["c", "a", "B"], where="mix.ratio")
