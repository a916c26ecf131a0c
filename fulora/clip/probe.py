"""Heads on the embeddings of a CLIP: logistic regression and Tip-Adapter's cache, chosen on validation images."""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from fulora.clip.config import ProbeConfig
from fulora.clip.model import ClipError
from fulora.metrics.classification import macro_f1

T = TypeVar("T")
Features = Float[np.ndarray, "n embed"]
Labels = Int[np.ndarray, " n"]


class LabelledFeatures(NamedTuple):
    """Unit directions of pictures and what they show."""

    features: Features
    labels: Labels


def linear_probe(
    train: LabelledFeatures, validation: LabelledFeatures, test: Features, classes: int, cfg: ProbeConfig
) -> tuple[np.ndarray, str]:
    """Probabilities (n, classes) of test pictures by scikit-learn's logistic regression, and what was chosen.

    Without validation images the strength in the middle is taken. A class that was not trained on has probability 0.

    Raises:
        ClipError: training images of fewer than two classes.
    """
    if len(np.unique(train.labels)) < 2:
        raise ClipError("a probe needs training images of two classes or more; add images of others")

    def fitted(strength: float) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=5000).fit(train.features, train.labels)

    middle = sorted(cfg.strengths)[len(cfg.strengths) // 2]
    tried = ((strength, fitted(strength).predict(validation.features)) for strength in sorted(cfg.strengths))
    chosen = _best(tried, validation.labels) if len(validation.labels) else middle
    model = fitted(float(chosen))
    found = np.zeros((len(test), classes))
    if len(test):
        found[:, model.classes_] = model.predict_proba(test)
    return found, f"logistic regression with C = {chosen:g}"


def tip_adapter(
    train: LabelledFeatures,
    validation: LabelledFeatures,
    test: Features,
    texts: Float[np.ndarray, "embed classes"],
    scale: float,
    cfg: ProbeConfig,
) -> tuple[np.ndarray, str]:
    """Probabilities (n, classes) of test pictures by Tip-Adapter without training, and what was chosen.

    logits = scale f W + alpha exp(-beta (1 - f F')) L: f the picture, W the prompts, F the training pictures, L their
    classes, one-hot (Zhang et al., ECCV 2022, equations 4 and 5, at our learned scale). Without validation images alpha
    is 1 and beta 5.5, as theirs.
    """

    def logits(features: Features, alpha: float, beta: float) -> Float[np.ndarray, "n classes"]:
        affinity = np.exp(-beta * (1 - features @ train.features.T))
        return np.asarray(scale * features @ texts + alpha * affinity @ np.eye(texts.shape[1])[train.labels])

    tried = (
        ((alpha, beta), logits(validation.features, alpha, beta).argmax(axis=1))
        for alpha, beta in product(cfg.alphas, cfg.betas)
    )
    alpha, beta = _best(tried, validation.labels) if len(validation.labels) else (1.0, 5.5)
    return softmax(logits(test, alpha, beta), axis=1), f"Tip-Adapter with alpha = {alpha:g}, beta = {beta:g}"


def _best(tried: Iterable[tuple[T, Labels]], true: Labels) -> T:
    """What has the highest macro F1 over the classes that validation images show; of equals the first."""
    shown = np.unique(true).tolist()
    scores = [(macro_f1(true, said, shown), item) for item, said in tried]
    return max(scores, key=lambda pair: pair[0])[1]
