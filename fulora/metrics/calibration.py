"""Whether probabilities mean what they say: log loss, Brier score, expected calibration error.

`true` holds class indices; column c of `probabilities` belongs to class c. At some hundreds of images the calibration
error is noisy and biased upwards: show it beside log loss and Brier score, with a cluster interval.
"""

import numpy as np
from jaxtyping import Float

from fulora.metrics.classification import Indices, Probabilities, check_probabilities
from fulora.metrics.weighted_scores import calibration_error

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


def expected_calibration_error(true: Indices, probabilities: Probabilities, bins: int = 15) -> float:
    """Mean |accuracy - confidence| over equal-width bins of the top probability, weighted by images (Guo et al. 2017).

    0..1, 0 is calibrated.
    """
    check_probabilities(true, probabilities)
    if bins < 1:
        raise ValueError(f"bins is {bins}; it must be 1 or more (10 to 15 are usual)")
    return float(calibration_error(true, probabilities, np.ones((1, len(true))), bins)[0])
