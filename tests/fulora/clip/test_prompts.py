"""Sets of prompts: shipped, from a file, complete."""

from pathlib import Path

import open_clip
import pytest
import yaml
from pydantic import ValidationError

from fulora.clip.config import ClipPretrainConfig, TuneClipConfig, ZeroShotConfig
from fulora.clip.prompts import pretraining_captions, prompt_set
from fulora.data.labels import PLANES

OURS = prompt_set("fulora")


def test_the_shipped_set_has_five_or_more_a_class_and_distractors() -> None:
    assert tuple(OURS.planes) == PLANES
    assert min(len(texts) for texts in OURS.classes(distractors=True).values()) >= 5
    assert list(OURS.classes()) == list(PLANES)
    assert list(OURS.classes(distractors=True))[5:] == list(OURS.distractors)
    every = [text for texts in OURS.classes(distractors=True).values() for text in texts]
    assert len(set(every)) == len(every)


def test_prompts_and_captions_share_words_and_no_sentence() -> None:
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    for plane in PLANES:
        captions, prompts = pretraining_captions(plane), OURS.planes[plane]
        assert len(set(captions)) == len(captions) > 50
        assert not set(captions) & set(prompts)
        longest = int((tokenizer([*captions, *prompts]) > 0).sum(1).max())
        assert longest <= ClipPretrainConfig().context_length
    with pytest.raises(ValueError, match="plane 'intrapartum' has no pre-training captions"):
        pretraining_captions("intrapartum")


def test_a_config_takes_a_name_a_file_or_the_set_itself(tmp_path: Path) -> None:
    mine = {"name": "mine", "planes": {plane: [f"a scan of the {plane}"] for plane in PLANES}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    by_path = ZeroShotConfig.model_validate({"prompts": str(tmp_path / "mine.yaml")})
    assert by_path == ZeroShotConfig.model_validate({"prompts": mine})
    assert by_path.prompts.planes["brain"] == ("a scan of the brain",)
    assert TuneClipConfig.model_validate({"prompts": "fulora"}).prompts == OURS


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("furola", "furola: no set of prompts; shipped: fulora, or the path of a .yaml file"),
        ({"name": "x", "planes": {"brain": ["a head"]}}, "prompts names exactly the planes"),
        ({"name": "x", "planes": {p: ["a"] for p in PLANES}, "distractors": {"brain": ["b"]}}, "none is a plane"),
        ({"name": "x", "planes": {p: ["a"] for p in PLANES}, "distractors": {"face": []}}, "one prompt or more"),
    ],
)
def test_sets_that_are_not_complete(prompts: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ZeroShotConfig.model_validate({"prompts": prompts})
