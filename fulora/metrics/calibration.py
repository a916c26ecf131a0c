"""Proper scores of probabilities, image by image: log loss and Brier score.

`true` holds class indices; column c of `probabilities` belongs to class c.
"""

import numpy as np
from jaxtyping import Float

from fulora.metrics.classification import Indices, Probabilities, check_probabilities

LEAST_PROBABILITY = 1e-15


def log_losses(true: Indices, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    """-ln of the probability given to the true class of each image, 0 up to 34.5: probabilities of 0 count as 1e-15."""
    check_probabilities(true, probabilities)
    given = probabilities[np.arange(len(true)), true].astype(float)
    return np.asarray(-np.log(np.maximum(given, LEAST_PROBABILITY)))


def brier_scores(true: Indices, probabilities: Probabilities) -> Float[np.ndarray, " n"]:
    """Squared distance of each image's probabilities from the truth, summed over classes, 0..2 (Brier 1950)."""
    check_probabilities(true, probabilities)
    return np.asarray(((probabilities.astype(float) - np.eye(probabilities.shape[1])[true]) ** 2).sum(axis=1))
