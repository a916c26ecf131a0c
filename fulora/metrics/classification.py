"""Scores of plane classification.

`true` and `predicted` hold class indices; column c of `probabilities` belongs to class index c. `labels` is always
given: the macro-F1 of one set of predictions is 0.54 or 0.97 depending on whether never-true classes are averaged in.
For intervals the same scores are computed of many draws at once by `fulora.metrics.weighted_scores`.
"""

from collections.abc import Sequence

import numpy as np
import sklearn.metrics
from jaxtyping import Float, Int

from fulora.metrics import weighted_scores
from fulora.metrics.statistics import UndefinedScoreError

Indices = Int[np.ndarray, " n"]
Probabilities = Float[np.ndarray, "n classes"]

SUM_TOLERANCE = 5e-3  # float16 soft-max rows sum to 1 within about this


def confusion_matrix(true: Indices, predicted: Indices, labels: Sequence[int]) -> Int[np.ndarray, "k k"]:
    """Counts, row = true class, column = predicted class, both in the order of `labels`.

    Raises ValueError if an image falls outside `labels`: scikit-learn alone would drop it without a word.
    """
    _check_pair(true, predicted)
    _check_labels(labels)
    outside = sorted(set(np.unique([true, predicted]).tolist()) - set(labels))
    if outside:
        raise ValueError(f"class(es) {outside} occur outside labels {list(labels)}: pass every class that occurs")
    return np.asarray(sklearn.metrics.confusion_matrix(true, predicted, labels=list(labels)))


def macro_f1(true: Indices, predicted: Indices, labels: Sequence[int]) -> float:
    """Return the unweighted mean over `labels` of F1 = 2 TP / (true + predicted), 0..1.

    A prediction outside `labels` (such as the negative class on a test set without it) counts as a miss.

    Raises:
        UndefinedScoreError: if no image shows a label: averaging its 0 would punish a test set for classes it lacks.
    """
    _check_pair(true, predicted)
    _check_labels(labels)
    counts = weighted_scores.tallies(true, predicted, labels, np.ones((1, len(true))))
    missing = [label for label, count in zip(labels, counts.true[0], strict=True) if count == 0]
    if missing:
        raise UndefinedScoreError(f"no image truly shows class(es) {missing}: give only the labels present, and say so")
    return float(counts.f1[0].mean())


def restricted(probabilities: Probabilities, keep: Sequence[int]) -> Probabilities:
    """Probabilities given that the class is one of `keep`: the rest set to 0, rows renormalised, same shape.

    Columns keep their meaning, so argmax gives the decision among `keep` (a 5-way classifier scored on 4 planes).
    """
    _check_rows(probabilities)
    _check_labels(keep)
    classes = probabilities.shape[1]
    if min(keep) < 0 or max(keep) >= classes:
        raise ValueError(f"classes {list(keep)} do not all lie in 0..{classes - 1}, the columns of probabilities")
    kept = np.zeros(probabilities.shape)
    kept[:, list(keep)] = probabilities[:, list(keep)]
    return _normalised(kept, f"at all on classes {list(keep)}")


def prior_adjusted(
    probabilities: Probabilities, training: Float[np.ndarray, " classes"], target: Float[np.ndarray, " classes"]
) -> Probabilities:
    """Probabilities under another class prior: divided by the training prior, multiplied by the target's, renormalised.

    Bayes' rule if only the prior differs (Saerens et al. 2002, eq. 2.4). A class of target prior 0 is never decided.

    Args:
        training: share of each class in what the classifier was trained on, > 0.
        target: share of each class where it is used, 0 or more; given beforehand, never counted on the test set.
    """
    _check_rows(probabilities)
    classes = probabilities.shape[1]
    for name, prior, least in (("training", training, np.nextafter(0, 1)), ("target", target, 0.0)):
        if len(prior) != classes or (prior < least).any() or not abs(prior.sum() - 1) < SUM_TOLERANCE:
            raise ValueError(
                f"{name} prior is {prior.tolist()}; it must hold one share for each of {classes} classes, adding up "
                f"to 1, each {'above 0' if least else '0 or more'}"
            )
    return _normalised(probabilities.astype(float) * (target / training), "on any class of the target prior")


def _normalised(values: Probabilities, classes: str) -> Probabilities:
    mass = values.sum(axis=1, keepdims=True)
    if (mass == 0).any():
        raise UndefinedScoreError(
            f"{int((mass == 0).sum())} image(s) have no probability {classes} (first: row {int(np.argmin(mass))}): "
            "store soft-max outputs in float64 so that they do not underflow"
        )
    return np.asarray(values / mass)


def _check_labels(labels: Sequence[int]) -> None:
    if len(labels) == 0 or len(set(labels)) != len(labels):
        raise ValueError(f"labels is {list(labels)}; it must name at least one class and none twice")


def _check_pair(true: Indices, predicted: Indices) -> None:
    if len(true) != len(predicted) or len(true) == 0:
        raise ValueError(f"got {len(true)} true and {len(predicted)} predicted classes; give one of each per image")


def check_probabilities(true: Indices, probabilities: Probabilities) -> None:
    """Raise ValueError unless there is one row of probabilities, 0 or more and adding up to 1, for each true class."""
    if len(true) != len(probabilities) or len(true) == 0:
        raise ValueError(f"got {len(true)} true and {len(probabilities)} rows of probabilities; give one per image")
    _check_rows(probabilities)


def _check_rows(probabilities: Probabilities) -> None:
    sums = probabilities.sum(axis=1, dtype=float)
    bad = ~(np.abs(sums - 1) <= SUM_TOLERANCE) | (probabilities < 0).any(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"row {row} of probabilities is {probabilities[row].tolist()}; a row must be >= 0 and sum to 1: "
            "pass soft-max outputs, not logits"
        )
