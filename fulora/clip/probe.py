"""Heads on CLIP embeddings: logistic regression and Tip-Adapter, with hyperparameters selected on validation images."""

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
    """Unit embeddings of pictures, and the indices of their classes."""

    features: Features
    labels: Labels


def linear_probe(
    train: LabelledFeatures, validation: LabelledFeatures, test: Features, classes: int, cfg: ProbeConfig
) -> tuple[np.ndarray, str]:
    """Return the probabilities (n, classes) of test pictures by logistic regression, and the selected setting.

    Without validation images the middle strength is used. A class without training images has probability 0.

    Raises:
        ClipError: if the training images show fewer than two classes.
    """
    if len(np.unique(train.labels)) < 2:
        raise ClipError("a probe needs training images of two classes or more; add images of others")

    def fit(strength: float) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=5000).fit(train.features, train.labels)

    middle = sorted(cfg.strengths)[len(cfg.strengths) // 2]
    candidates = ((strength, fit(strength).predict(validation.features)) for strength in sorted(cfg.strengths))
    best = _best(candidates, validation.labels) if len(validation.labels) else middle
    model = fit(float(best))
    probabilities = np.zeros((len(test), classes))
    if len(test):
        probabilities[:, model.classes_] = model.predict_proba(test)
    return probabilities, f"logistic regression with C = {best:g}"


def tip_adapter(
    train: LabelledFeatures,
    validation: LabelledFeatures,
    test: Features,
    texts: Float[np.ndarray, "embed classes"],
    scale: float,
    cfg: ProbeConfig,
) -> tuple[np.ndarray, str]:
    """Return the probabilities (n, classes) of test pictures by training-free Tip-Adapter, and the selected setting.

    logits = scale f W + alpha exp(-beta (1 - f F')) L: f the picture, W the prompts, F the training pictures, L their
    classes, one-hot (Zhang et al., ECCV 2022, equations 4 and 5, with the CLIP's learned scale). Without validation
    images alpha is 1 and beta 5.5, as in the paper.
    """

    def logits(features: Features, alpha: float, beta: float) -> Float[np.ndarray, "n classes"]:
        affinity = np.exp(-beta * (1 - features @ train.features.T))
        return np.asarray(scale * features @ texts + alpha * affinity @ np.eye(texts.shape[1])[train.labels])

    candidates = (
        ((alpha, beta), logits(validation.features, alpha, beta).argmax(axis=1))
        for alpha, beta in product(cfg.alphas, cfg.betas)
    )
    alpha, beta = _best(candidates, validation.labels) if len(validation.labels) else (1.0, 5.5)
    return softmax(logits(test, alpha, beta), axis=1), f"Tip-Adapter with alpha = {alpha:g}, beta = {beta:g}"


def _best(candidates: Iterable[tuple[T, Labels]], true: Labels) -> T:
    """The setting with the highest macro F1 over the classes of the validation images; of equals the first."""
    shown = np.unique(true).tolist()
    scores = [(macro_f1(true, predicted, shown), setting) for setting, predicted in candidates]
    return max(scores, key=lambda pair: pair[0])[1]
