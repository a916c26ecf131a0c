"""Prompts and captions: those of the label set, and prompts of one's own in a file or a config."""

from pathlib import Path

import open_clip
import pytest
import yaml
from pydantic import ValidationError

from fulora.clip.config import ClipPretrainConfig, TuneClipConfig, ZeroShotConfig
from fulora.clip.prompts import PromptSet, pretraining_captions, prompts_of
from fulora.data.label_set import LabelSet, LabelSetError, label_set

FETAL = label_set("fetal_planes")
OURS = prompts_of(FETAL)
TWO = LabelSet.derived(["normal", "cyst"])


def test_the_five_planes_have_five_or_more_prompts_each_and_distractors() -> None:
    assert min(len(texts) for texts in OURS.texts(distractors=True).values()) >= 5
    assert tuple(OURS.texts()) == FETAL.names
    assert list(OURS.texts(distractors=True))[5:] == list(FETAL.distractors)
    every = [text for texts in OURS.texts(distractors=True).values() for text in texts]
    assert len(set(every)) == len(every)


def test_prompts_and_captions_share_words_and_no_sentence() -> None:
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    for one in FETAL.classes:
        captions = pretraining_captions(one)
        assert captions[0] == one.caption
        assert len(set(captions)) == len(captions) > 50
        assert not set(captions) & set(one.prompts)
        longest = int((tokenizer([*captions, *one.prompts]) > 0).sum(1).max())
        assert longest <= ClipPretrainConfig().context_length


def test_a_class_that_is_a_name_alone_is_asked_and_trained_with_its_caption() -> None:
    labels = LabelSet.derived(["left kidney", "right kidney"], caption="an ultrasound of the {name}")
    assert prompts_of(labels).texts() == {name: (f"an ultrasound of the {name}",) for name in labels.names}
    captions = pretraining_captions(labels.classes[0])
    assert captions[:2] == ["an ultrasound of the left kidney", "ultrasound of left kidney"]
    assert len(captions) == 7


def test_a_config_takes_a_file_or_the_prompts_themselves(tmp_path: Path) -> None:
    mine = {"name": "mine", "classes": {name: [f"a scan of the {name}"] for name in FETAL.names[::-1]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine, sort_keys=False))
    by_path = ZeroShotConfig.model_validate({"prompts": str(tmp_path / "mine.yaml")})
    assert by_path == ZeroShotConfig.model_validate({"prompts": mine})
    found = prompts_of(FETAL, by_path.prompts)
    assert list(found.texts().items())[1] == ("brain", ("a scan of the brain",))
    assert TuneClipConfig().prompts is None


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("furola", "furola: no file of prompts; give the path of a .yaml file, or leave prompts out"),
        ({"classes": {}}, "classes"),
        ({"classes": {"brain": []}}, "brain: each needs one or more prompts, none of them empty"),
        ({"classes": {"brain": ["a head", " "]}}, "brain: each needs one or more prompts, none of them empty"),
        ({"classes": {"brain": ["a head"]}, "distractors": {"face": []}}, "face: each needs one or more prompts"),
    ],
)
def test_prompts_that_are_none(prompts: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ZeroShotConfig.model_validate({"prompts": prompts})


def test_a_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("name: old\nplanes: {brain: [a head]}\n")
    with pytest.raises(
        ValidationError, match=r"old\.yaml: 2 errors\n(.|\n)*planes: unknown key; did you mean \'classes\'\?"
    ):
        ZeroShotConfig.model_validate({"prompts": str(tmp_path / "old.yaml")})


@pytest.mark.parametrize(
    ("labels", "own", "message"),
    [
        (
            TWO,
            {"normal": ["fine"], "tumour": ["a mass"]},
            r"prompts mine: normal, tumour\n  label set derived: cyst, normal\nGive prompts for exactly the classes",
        ),
        (TWO, {"normal": ["fine"]}, "prompts mine and label set derived have different classes"),
    ],
)
def test_prompts_for_other_classes_are_refused(labels: LabelSet, own: dict[str, list[str]], message: str) -> None:
    with pytest.raises(LabelSetError, match=message):
        prompts_of(labels, PromptSet.model_validate({"name": "mine", "classes": own}))


def test_distractors_need_a_negative_class_and_names_of_their_own() -> None:
    own = {"name": "mine", "classes": {name: ["a"] for name in TWO.names}, "distractors": {"face": ["a face"]}}
    with pytest.raises(LabelSetError, match="distractors face count as the negative class, and the label set derived"):
        prompts_of(TWO, PromptSet.model_validate(own))
    own = {"name": "mine", "classes": {name: ["a"] for name in FETAL.names}, "distractors": {"brain": ["a head"]}}
    with pytest.raises(LabelSetError, match="prompts mine: brain is a class, and cannot be a distractor too"):
        prompts_of(FETAL, PromptSet.model_validate(own))


@pytest.mark.parametrize(
    ("config", "labels", "message"),
    [
        ({"other": "threshold"}, TWO, r"other=threshold is a rule .* the label set derived has none \(cyst, normal\)"),
        ({"other": "energy"}, label_set("brain_planes"), "other=energy is a rule for the negative class"),
        ({"distractors": True}, TWO, "distractors=true, and prompts derived have none"),
        (
            {"other": "threshold"},
            LabelSet.model_validate({"name": "two", "classes": ["cyst", {"name": "none of it", "negative": True}]}),
            "other=threshold: the label set two has only one class that is not negative",
        ),
    ],
)
def test_rules_for_the_negative_class_need_one(config: dict[str, object], labels: LabelSet, message: str) -> None:
    with pytest.raises(LabelSetError, match=message):
        ZeroShotConfig.model_validate(config).asked(labels)
    assert ZeroShotConfig().asked(labels).texts() == labels.prompts
