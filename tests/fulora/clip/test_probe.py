"""Heads on embeddings against scikit-learn and the formula of the paper."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from fulora.clip.config import ProbeConfig
from fulora.clip.model import ClipError
from fulora.clip.probe import LabelledFeatures, linear_probe, tip_adapter

NOTHING = LabelledFeatures(np.zeros((0, 8)), np.zeros(0, int))


def embedded(n: int, seed: int, classes: int = 5, noise: float = 0.8) -> LabelledFeatures:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    found = np.eye(8)[labels] + noise * rng.normal(size=(n, 8))
    return LabelledFeatures(found / np.linalg.norm(found, axis=1, keepdims=True), labels)


def test_a_probe_is_scikit_learns_with_the_strength_that_validates_best() -> None:
    train, seen, test = embedded(60, 0), embedded(60, 1), embedded(40, 2)
    cfg = ProbeConfig(strengths=(0.01, 1.0, 100.0))
    found, about = linear_probe(train, seen, test.features, 5, cfg)
    models = {c: LogisticRegression(C=c, max_iter=5000).fit(*train) for c in cfg.strengths}
    scores = {c: f1_score(seen.labels, m.predict(seen.features), average="macro") for c, m in models.items()}
    best = max(scores, key=lambda c: scores[c])
    assert about == f"logistic regression with C = {best:g}"
    assert np.allclose(found, models[best].predict_proba(test.features))


def test_without_validation_the_middle_is_taken_and_unseen_planes_have_no_probability() -> None:
    train, test = embedded(30, 0, classes=3), embedded(10, 2)
    found, about = linear_probe(train, NOTHING, test.features, 5, ProbeConfig())
    assert about == "logistic regression with C = 1"
    assert not found[:, 3:].any()
    assert np.allclose(found.sum(1), 1)
    with pytest.raises(ClipError, match="training images of two classes or more"):
        linear_probe(embedded(5, 0, classes=1), NOTHING, test.features, 5, ProbeConfig())


def test_a_cache_is_the_papers_formula() -> None:
    train, test = embedded(10, 0), embedded(6, 1)
    texts, scale = embedded(5, 3).features.T, 20.0
    found, about = tip_adapter(train, NOTHING, test.features, texts, scale, ProbeConfig(head="tip"))
    assert about == "Tip-Adapter with alpha = 1, beta = 5.5"
    for image, row in zip(test.features, found, strict=True):
        cached = np.zeros(5)
        for key, label in zip(*train, strict=True):
            cached[label] += np.exp(-5.5 * (1 - image @ key))
        assert np.allclose(row, softmax(scale * image @ texts + 1.0 * cached))


def test_the_cache_is_chosen_on_validation() -> None:
    train, seen, test = embedded(20, 0, noise=0.2), embedded(20, 1, noise=0.2), embedded(20, 2, noise=0.2)
    wrong = np.roll(np.eye(8)[:5], 1, axis=0).T  # prompts that point at the wrong planes
    cfg = ProbeConfig(head="tip", alphas=(0.1, 50.0), betas=(5.5,))
    found, about = tip_adapter(train, seen, test.features, wrong, 5.0, cfg)
    assert about == "Tip-Adapter with alpha = 50, beta = 5.5"
    assert np.mean(found.argmax(1) == test.labels) > 0.8
