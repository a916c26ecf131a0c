"""Directions equal open_clip's; the negative class by prompts, threshold and energy."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from scipy.special import softmax

from fulora.clip import pretrain
from fulora.clip.config import ClipPretrainConfig
from fulora.clip.embed import image_directions, text_directions
from fulora.clip.loading import load_clip
from fulora.clip.model import ClipError, build_clip, build_tokenizer
from fulora.clip.prompts import prompts_of
from fulora.clip.zero_shot import choose_rule, classify_by_prompts, classify_by_rule, confidence, prompt_logits
from fulora.data.label_set import LabelSet, label_set

FETAL = label_set("fetal_planes")
PROMPTS = prompts_of(FETAL).texts()
OTHER = 4
"""The place of its negative class."""
FIRST = FETAL.changed(classes=FETAL.classes[::-1])
"""The negative class at the first place."""
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
    ours = text_directions(model, tokenizer, PROMPTS)
    assert len({len(texts) for texts in PROMPTS.values()}) == 1
    slots = [lambda plane, i=i: PROMPTS[plane][i] for i in range(6)]
    theirs = open_clip.build_zero_shot_classifier(model, tokenizer, list(PROMPTS), slots)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_any_number_of_prompts_and_none_is_an_error() -> None:
    model, tokenizer = build_clip(TINY).eval(), build_tokenizer(TINY)
    weights = text_directions(model, tokenizer, {"one": ["a head"], "two": ["a belly", "an abdomen"]})
    assert weights.shape == (TINY.embed_dim, 2)
    assert torch.allclose(weights.norm(dim=0), torch.ones(2))
    with pytest.raises(ClipError, match="no prompt for two: every class needs one or more"):
        text_directions(model, tokenizer, {"one": ["a head"], "two": []})


def test_bright_from_dark_by_prompts_never_trained_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bright, dark = rng.integers(150, 255, (20, 32, 32)), rng.integers(0, 80, (20, 32, 32))
    images = np.concatenate([bright, dark]).astype(np.uint8)
    pretrain.fit(tmp_path, TINY, FETAL, images, np.array([1] * 20 + [2] * 20))
    clip = load_clip(tmp_path)
    seen = image_directions(clip.model, 40, lambda number: images[number], batch_size=16).numpy()
    assert np.allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
    logits = prompt_logits(clip, {plane: PROMPTS[plane] for plane in ("brain", "femur")}, seen)
    assert (logits.argmax(1) == np.repeat([0, 1], 20)).mean() > 0.9
    wide = image_directions(clip.model, 1, lambda number: images[number, :16]).numpy()
    assert wide.shape == (1, 16)
    assert image_directions(clip.model, 0, lambda number: images[number]).shape == (0, 16)


def logits(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a known plane is sure of it, one of other of nothing."""
    rng = np.random.default_rng(1)
    true = rng.integers(0, 5, n)
    found = rng.normal(0, 1, (n, 5))
    found[np.arange(n), true] += np.where(true == OTHER, 0, 6)
    return found, true


def test_distractors_count_as_other() -> None:
    found = classify_by_prompts(np.array([[0.0, 0, 0, 0, 0, 3, 0]]), FETAL)
    expected = softmax([0.0, 0, 0, 0, 0, 3, 0])
    assert found[0, OTHER] == pytest.approx(expected[4:].sum())
    assert found.sum() == pytest.approx(1)
    assert classify_by_prompts(np.array([[0.0, 0, 0, 0, 0, 3, 0]]), FIRST)[0, 0] == pytest.approx(expected[4:].sum())
    alone = classify_by_prompts(np.array([[1.0, 0]]), LabelSet.derived(["normal", "cyst"]))
    assert alone.tolist() == [softmax([1.0, 0]).tolist()]


@pytest.mark.parametrize("kind", ["threshold", "energy"])
def test_a_rule_decides_other_exactly_below_its_threshold(kind: str) -> None:
    found, true = logits()
    rule = choose_rule(found, true, FETAL, kind)
    assert rule.sensitivity + rule.specificity > 1.6
    probabilities = classify_by_rule(found, FETAL, rule)
    assert np.allclose(probabilities.sum(1), 1)
    said_other = probabilities.argmax(1) == OTHER
    assert (said_other == (confidence(found, FETAL, kind) < rule.threshold)).all()
    is_other = true == OTHER
    assert np.mean(said_other[is_other]) == pytest.approx(rule.sensitivity)
    assert np.mean(~said_other[~is_other]) == pytest.approx(rule.specificity)
    planes = [place for place in range(5) if place != OTHER]
    assert (probabilities[:, planes].argmax(1) == found[:, planes].argmax(1)).all()
    assert f"other by {kind} below" in str(rule)


def test_the_threshold_is_the_best_of_all() -> None:
    found, true = logits(60)
    rule, scores, is_other = (
        choose_rule(found, true, FETAL, "energy"),
        confidence(found, FETAL, "energy"),
        true == OTHER,
    )
    best = max(np.mean(scores[is_other] < t) + np.mean(scores[~is_other] >= t) for t in [*scores, np.inf])
    assert rule.sensitivity + rule.specificity == pytest.approx(best)


@pytest.mark.parametrize("shown", [OTHER, 0])
def test_a_threshold_needs_other_and_known_planes(shown: int) -> None:
    with pytest.raises(
        ClipError, match="other=energy chooses its threshold on validation images of other and of other classes"
    ):
        choose_rule(np.zeros((3, 5)), np.full(3, shown), FETAL, "energy")


def test_a_rule_follows_the_negative_class_wherever_it_stands() -> None:
    found, true = logits()
    rule, turned = choose_rule(found, true, FETAL, "energy"), choose_rule(found[:, ::-1], 4 - true, FIRST, "energy")
    assert turned == rule
    assert np.allclose(classify_by_rule(found[:, ::-1], FIRST, turned), classify_by_rule(found, FETAL, rule)[:, ::-1])


def test_with_one_positive_and_one_negative_class_energy_decides() -> None:
    labels = LabelSet.model_validate({"name": "two", "classes": ["cyst", {"name": "no cyst", "negative": True}]})
    true = np.arange(40) % 2
    found = np.stack([np.where(true == 0, 3.0, 0.0), np.ones(40)], axis=1)
    rule = choose_rule(found, true, labels, "energy")
    assert str(rule).startswith("no cyst by energy below 1.5 ")
    assert (classify_by_rule(found, labels, rule).argmax(1) == true).all()
