"""Scores of many weightings of the same images at once: what a bootstrap or a permutation needs.

`weights[d, i]` says how often image i stands in draw d (0 or more); a row of ones gives the score itself. Each
function gives one value a draw, and NaN where a draw holds no image that the score needs. `true` and `predicted` hold
class indices, `labels` the classes that are averaged. Tests hold each equal to scikit-learn with sample weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from fulora.metrics.patient_clusters import PerImage

Weights = Float[np.ndarray, "draws n"]
Values = Float[np.ndarray, " draws"]
Indices = Int[np.ndarray, " n"]


@dataclass(frozen=True)
class ClassTallies:
    """Weighted counts of every draw and label: hits, images that truly show it, images predicted to show it."""

    hits: Float[np.ndarray, "draws k"]
    true: Float[np.ndarray, "draws k"]
    predicted: Float[np.ndarray, "draws k"]

    @property
    def recall(self) -> Float[np.ndarray, "draws k"]:
        """hits / true; NaN where no image shows the label."""
        return _ratio(self.hits, self.true)

    @property
    def precision(self) -> Float[np.ndarray, "draws k"]:
        """hits / predicted; 0 where the label is never predicted, NaN where no image shows it."""
        precision = np.where(self.predicted > 0, _ratio(self.hits, self.predicted), 0.0)
        return np.where(self.true > 0, precision, np.nan)

    @property
    def f1(self) -> Float[np.ndarray, "draws k"]:
        """2 hits / (true + predicted); NaN where no image shows the label."""
        return np.where(self.true > 0, _ratio(2 * self.hits, self.true + self.predicted), np.nan)

    def weighted(self, scores: Float[np.ndarray, "draws k"]) -> Values:
        """Mean of per-label scores, weighted by the images that truly show each label."""
        return np.asarray((scores * self.true).sum(axis=1) / self.true.sum(axis=1))


def mean(per_image: PerImage, weights: Weights) -> Values:
    """Mean of per-image values: accuracy of right (1) and wrong (0), mean log loss, a rate."""
    return _ratio(weights @ per_image.astype(float), weights.sum(axis=1))


def tallies(true: Indices, predicted: Indices, labels: Sequence[int], weights: Weights) -> ClassTallies:
    """What precision, recall and F1 are made of; a prediction outside `labels` is a miss and no false alarm."""
    is_true = (true[:, None] == np.asarray(labels)[None, :]).astype(float)
    is_predicted = (predicted[:, None] == np.asarray(labels)[None, :]).astype(float)
    return ClassTallies(weights @ (is_true * is_predicted), weights @ is_true, weights @ is_predicted)


def auc(positive: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"], weights: Weights) -> Values:
    """Area under the ROC curve: the chance that a positive scores higher than a negative, ties counting half."""
    order = np.argsort(scores, kind="stable")
    ordered, rises = positive[order], np.diff(scores[order], prepend=-np.inf) > 0
    of_positives = weights[:, order] * ordered
    of_negatives = weights[:, order] * ~ordered
    if not rises.all():
        starts = np.flatnonzero(rises)
        of_positives = np.add.reduceat(of_positives, starts, axis=1)
        of_negatives = np.add.reduceat(of_negatives, starts, axis=1)
    up_to = np.cumsum(of_negatives, axis=1)
    wins = np.einsum("dn,dn->d", of_positives, up_to - of_negatives / 2)
    return _ratio(wins, of_positives.sum(axis=1) * up_to[:, -1])


def macro_auc(
    true: Indices, probabilities: Float[np.ndarray, "n classes"], labels: Sequence[int], weights: Weights
) -> Values:
    """Unweighted mean over `labels` of the one-vs-rest `auc` of a label's column."""
    return np.asarray(np.mean([auc(true == k, probabilities[:, k].astype(float), weights) for k in labels], axis=0))


def calibration_error(
    true: Indices, probabilities: Float[np.ndarray, "n classes"], weights: Weights, bins: int = 15
) -> Values:
    """Expected calibration error (Guo et al. 2017): mean |accuracy - confidence| over equal-width bins, 0..1.

    Bins of the top probability are weighted by images. At some hundreds of images it is noisy and biased upwards: show
    it beside log loss and Brier score, with a cluster interval.
    """
    confidence = probabilities.max(axis=1).astype(float)
    gap = (probabilities.argmax(axis=1) == true) - confidence
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    by_bin = np.zeros((len(true), bins))
    by_bin[np.arange(len(true)), which] = gap
    return _ratio(np.abs(weights @ by_bin).sum(axis=1), weights.sum(axis=1))


def cohen_kappa(true: Indices, predicted: Indices, weights: Weights) -> Values:
    """Agreement beyond chance (Cohen 1960): (p_o - p_e) / (1 - p_e), over all classes that are true or predicted.

    p_o is the share of agreement, p_e what the shares of both would give by chance. NaN where p_e is 1.
    """
    total = weights.sum(axis=1)
    found = tallies(true, predicted, sorted({*true.tolist(), *predicted.tolist()}), weights)
    agreed, chance = found.hits.sum(axis=1) * total, (found.true * found.predicted).sum(axis=1)
    return _ratio(agreed - chance, total**2 - chance)


def _ratio(top: Float[np.ndarray, "*shape"], bottom: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """top / bottom, NaN where bottom is 0."""
    return np.asarray(np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0))
