import hashlib
from pathlib import Path

import open_clip
import pytest

from fulora.data.captions import CAPTIONS
from fulora.data.labels import PLANES
from fulora.diffusion.tokenizers import END, build_clip_tokenizer, build_tokenizer

TEXTS = (
    "a photo of fetal brain",
    "An ultrasound, 20 weeks' gestation (HC = 175.3 mm)",
    "it's  the   doctor's\tCRL—45mm",
    "Über naïve café 日本語 🚀 <b>",
    "",
)


def test_the_words_of_the_five_planes_are_one_token_each(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path)
    for caption in (CAPTIONS[plane] for plane in PLANES):
        assert tokenizer.tokenize(caption) == [f"{word}</w>" for word in caption.split()]


def test_an_unknown_word_is_spelled(tmp_path: Path) -> None:
    assert build_tokenizer(tmp_path).tokenize("cyst") == ["c", "y", "s", "t</w>"]


def test_other_words_may_be_given(tmp_path: Path) -> None:
    assert build_tokenizer(tmp_path, ["cyst"]).tokenize("cyst") == ["cyst</w>"]


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
