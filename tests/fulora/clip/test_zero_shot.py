from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from fulora.clip import pretrain
from fulora.clip.config import ClipPretrainConfig
from fulora.clip.model import ClipError, build_clip, build_tokenizer, load_clip
from fulora.clip.prompts import PROMPTS
from fulora.clip.zero_shot import classifier, predict

TINY = ClipPretrainConfig(
    image_size_px=32,
    width=4,
    blocks=(1, 1, 1, 1),
    text_width=16,
    embed_dim=16,
    steps=40,
    batch_size=16,
    warmup_steps=5,
    learning_rate=3e-3,
    device="cpu",
)


def test_equals_open_clip_for_prompts_of_equal_number() -> None:
    model, tokenizer = build_clip(TINY).eval(), build_tokenizer(TINY)
    ours = classifier(model, tokenizer, PROMPTS)
    assert len({len(texts) for texts in PROMPTS.values()}) == 1
    slots = [lambda plane, i=i: PROMPTS[plane][i] for i in range(6)]
    theirs = open_clip.build_zero_shot_classifier(model, tokenizer, list(PROMPTS), slots)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_any_number_of_prompts_and_none_is_an_error() -> None:
    model, tokenizer = build_clip(TINY).eval(), build_tokenizer(TINY)
    weights = classifier(model, tokenizer, {"one": ["a head"], "two": ["a belly", "an abdomen"]})
    assert weights.shape == (TINY.embed_dim, 2)
    assert torch.allclose(weights.norm(dim=0), torch.ones(2))
    with pytest.raises(ClipError, match="no prompt for two: every class needs one or more"):
        classifier(model, tokenizer, {"one": ["a head"], "two": []})


def test_bright_from_dark_by_prompts_never_trained_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bright, dark = rng.integers(150, 255, (20, 32, 32)), rng.integers(0, 80, (20, 32, 32))
    images = np.concatenate([bright, dark]).astype(np.uint8)
    pretrain.fit(tmp_path, TINY, images, ["brain"] * 20 + ["femur"] * 20)
    model, _, tokenizer = load_clip(tmp_path)
    weights = classifier(model, tokenizer, {plane: PROMPTS[plane] for plane in ("brain", "femur")})
    probabilities = predict(model, weights, images, batch_size=16)
    assert probabilities.shape == (40, 2)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == np.repeat([0, 1], 20)).mean() > 0.9
    assert np.allclose(predict(model, weights, images[:3]), probabilities[:3], atol=1e-5)
    assert predict(model, weights, images[:0]).shape == (0, 2)
