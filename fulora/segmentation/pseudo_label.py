"""Masks predicted by an ensemble, their calibrated confidence, and the minimum confidence to accept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from scipy.optimize import minimize_scalar

from fulora.metrics.segmentation import dice
from fulora.segmentation.model import Unet
from fulora.segmentation.predict import largest_filled, probabilities, to_labels

BAND_PX = 2
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
CLIP = 1e-6


@dataclass(frozen=True)
class EnsembleMask:
    """The prediction of an ensemble for one picture.

    Attributes:
        mask: by the mean probability, largest component with holes filled.
        share: the mean probability of the structure, uncalibrated.
        agreement: the lower of the mean Dice of pairs of members, and the Dice with the prediction without mirroring.
    """

    mask: UInt8[np.ndarray, "h w"]
    share: Float[np.ndarray, "h w"]
    agreement: float

    def confidence(self, temperature: float) -> float:
        """Return the lower of `agreement` and the mean calibrated probability within 2 px of the mask's border."""
        shares = apply_temperature(self.share, temperature)
        band = border_band(self.mask > 0)
        sure = float(np.maximum(shares, 1 - shares)[band].mean()) if band.any() else 0.0
        return min(self.agreement, sure)


def predict_ensemble(models: Sequence[Unet], images: Iterable[UInt8[np.ndarray, "_ _"]]) -> Iterator[EnsembleMask]:
    """Yield the prediction for each picture, averaged over the models and over mirror images."""
    for pixels in images:
        plain = [next(probabilities([model], [pixels]))[0] for model in models]
        both = [next(probabilities([model], [pixels], flip=True))[0] for model in models]
        share = np.mean(both, axis=0)
        members = [to_labels(one[None]) > 0 for one in plain]
        overlaps = [dice(a, b) for a, b in combinations(members, 2)] or [1.0]
        mask = largest_filled(to_labels(share[None]))
        unflipped = to_labels(np.mean(plain, axis=0)[None]) > 0
        yield EnsembleMask(mask, share, min(float(np.mean(overlaps)), dice(unflipped, mask > 0)))


def border_band(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels within `BAND_PX` of a mask's border, on either side of it."""
    wide = ndimage.binary_dilation(mask, iterations=BAND_PX)
    return np.asarray(wide & ~ndimage.binary_erosion(mask, iterations=BAND_PX))


def apply_temperature(shares: Float[np.ndarray, "*shape"], temperature: float) -> Float[np.ndarray, "*shape"]:
    """Return the probabilities with their logits divided by a temperature (Guo et al. 2017)."""
    bounded = np.clip(shares, CLIP, 1 - CLIP)
    return np.asarray(1 / (1 + ((1 - bounded) / bounded) ** (1 / temperature)))


def fit_temperature(shares: Sequence[Float[np.ndarray, "_ _"]], masks: Sequence[UInt8[np.ndarray, "_ _"]]) -> float:
    """Return the temperature with the lowest log loss in the border bands of held-out pictures; 1 without any."""
    bands = [border_band(mask > 0) for mask in masks]
    predicted = np.concatenate([share[band] for share, band in zip(shares, bands, strict=True)] or [np.zeros(0)])
    true = np.concatenate([(mask > 0)[band] for mask, band in zip(masks, bands, strict=True)] or [np.zeros(0, bool)])
    if not predicted.size:
        return 1.0

    def loss(logarithm: float) -> float:
        calibrated = apply_temperature(predicted, float(np.exp(logarithm)))
        return float(-np.log(np.where(true, calibrated, 1 - calibrated)).mean())

    bounds = (np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def choose_confidence(confidences: Sequence[float], overlaps: Sequence[float], target: float) -> tuple[float, bool]:
    """Return the lowest confidence above which held-out pictures have a mean Dice of `target`, and whether one exists.

    If there is none, it is the confidence of the upper quartile.
    """
    order = np.argsort(confidences)[::-1]
    ordered, dice_values = np.asarray(confidences, float)[order], np.asarray(overlaps, float)[order]
    means = np.cumsum(dice_values) / np.arange(1, len(dice_values) + 1)
    good = np.flatnonzero(means >= target)
    if good.size:
        return float(ordered[good[-1]]), True
    return (float(np.quantile(ordered, 0.75)) if len(ordered) else 1.0), False
