import hashlib
from pathlib import Path

import open_clip
import pytest

from fulora.data.label_set import LabelSet, label_set
from fulora.diffusion.models.tokenizers import END, build_clip_tokenizer, build_tokenizer, collect_words
from pipelines.backbone_names import ASSETS

TEXTS = (
    "a photo of fetal brain",
    "An ultrasound, 20 weeks' gestation (HC = 175.3 mm)",
    "it's  the   doctor's\tCRL—45mm",
    "Über naïve café 日本語 🚀 <b>",
    "",
)


FETAL, INTRAPARTUM = label_set("fetal_planes"), label_set("intrapartum")


@pytest.mark.parametrize("labels", [FETAL, FETAL.joined(INTRAPARTUM), INTRAPARTUM.joined(FETAL)])
def test_the_words_of_captions_are_one_token_each_and_the_embedded_backbone_has_the_same(
    tmp_path: Path, labels: LabelSet
) -> None:
    tokenizer = build_tokenizer(tmp_path, collect_words(labels.captions.values()))
    for caption in FETAL.captions.values():
        assert tokenizer.tokenize(caption) == [f"{word}</w>" for word in caption.split()]
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / name).read_bytes() == (ASSETS / "diffusion" / "tokenizer" / name).read_bytes()


def test_letters_of_captions_are_known_whatever_the_script(tmp_path: Path) -> None:
    captions = ["a photo of 腎臓", "a photo of 肝臓", "a photo of Ñandú-2²", "a photo of किडनी", "a photo of nieren"]
    tokenizer = build_tokenizer(tmp_path, collect_words(captions))
    assert tokenizer.tokenize("a photo of nieren") == ["a</w>", "photo</w>", "of</w>", "nieren</w>"]
    assert len(tokenizer.tokenize(captions[0])) == 4
    found = [tuple(tokenizer(caption).input_ids) for caption in captions]
    assert all(ids.count(tokenizer.eos_token_id) == 1 for ids in found)
    assert len(set(found)) == len(captions)


def test_words_are_in_one_order_and_in_lower_case() -> None:
    words = collect_words(["A photo of Lung", "a photo of trans-thalamic"])
    assert list(words) == sorted(set(words))
    assert {"lung", "trans", "thalamic", "-", "skull"} <= set(words)
    assert words == collect_words(["a photo of trans-thalamic", "a photo of lung"])


def test_an_unknown_word_is_spelled(tmp_path: Path) -> None:
    assert build_tokenizer(tmp_path, collect_words(())).tokenize("cyst") == ["c", "y", "s", "t</w>"]


def test_other_words_may_be_given(tmp_path: Path) -> None:
    assert build_tokenizer(tmp_path, ["cyst"]).tokenize("cyst") == ["cyst</w>"]


@pytest.mark.slow
@pytest.mark.parametrize(("pad", "pad_id"), [(END, 49407), ("!", 0)])
def test_clips_tokenizer_gives_the_ids_of_open_clip(tmp_path: Path, pad: str, pad_id: int) -> None:
    tokenizer = build_clip_tokenizer(tmp_path, pad)
    assert len(tokenizer) == 49_408
    for text, theirs in zip(TEXTS, open_clip.tokenize(list(TEXTS)).tolist(), strict=True):
        ours = tokenizer(text, padding="max_length").input_ids
        length = theirs.index(49407) + 1
        assert ours == theirs[:length] + [pad_id] * (77 - length)


def test_the_merges_are_those_of_the_published_tokenizers(tmp_path: Path) -> None:
    """The digest is that of `tokenizer_2/merges.txt` of stabilityai/stable-diffusion-xl-base-1.0."""
    build_clip_tokenizer(tmp_path)
    digest = hashlib.sha256((tmp_path / "merges.txt").read_bytes()).hexdigest()
    assert digest == "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a"
