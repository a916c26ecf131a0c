"""Masks that an ensemble draws on pictures without one, how sure it is, and from where on it may be believed."""

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
    """What an ensemble says of one picture.

    Attributes:
        mask: of the mean probability, largest piece with holes filled.
        share: that mean probability of the structure, before any calibration.
        agreement: the least of the mean Dice among members, and of the Dice with what mirror images give.
    """

    mask: UInt8[np.ndarray, "h w"]
    share: Float[np.ndarray, "h w"]
    agreement: float

    def confidence(self, temperature: float) -> float:
        """The lesser of `agreement` and the mean calibrated probability within 2 px of the mask's border, 0..1."""
        shares = apply_temperature(self.share, temperature)
        band = border_band(self.mask > 0)
        sure = float(np.maximum(shares, 1 - shares)[band].mean()) if band.any() else 0.0
        return min(self.agreement, sure)


def predict_ensemble(models: Sequence[Unet], images: Iterable[UInt8[np.ndarray, "_ _"]]) -> Iterator[EnsembleMask]:
    """Of every picture, in order. Each member sees it as it is and mirrored."""
    for pixels in images:
        plain = [next(probabilities([model], [pixels]))[0] for model in models]
        both = [next(probabilities([model], [pixels], flip=True))[0] for model in models]
        share = np.mean(both, axis=0)
        members = [to_labels(one[None]) > 0 for one in plain]
        among = [dice(a, b) for a, b in combinations(members, 2)] or [1.0]
        mask = largest_filled(to_labels(share[None]))
        unflipped = to_labels(np.mean(plain, axis=0)[None]) > 0
        yield EnsembleMask(mask, share, min(float(np.mean(among)), dice(unflipped, mask > 0)))


def border_band(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels within `BAND_PX` of a mask's border, on either side of it."""
    wide = ndimage.binary_dilation(mask, iterations=BAND_PX)
    return np.asarray(wide & ~ndimage.binary_erosion(mask, iterations=BAND_PX))


def apply_temperature(shares: Float[np.ndarray, "*shape"], temperature: float) -> Float[np.ndarray, "*shape"]:
    """Probabilities whose logits are divided by a temperature (Guo et al. 2017)."""
    bounded = np.clip(shares, CLIP, 1 - CLIP)
    return np.asarray(1 / (1 + ((1 - bounded) / bounded) ** (1 / temperature)))


def fit_temperature(shares: Sequence[Float[np.ndarray, "_ _"]], masks: Sequence[UInt8[np.ndarray, "_ _"]]) -> float:
    """The temperature with the least log loss over the border bands of held-out pictures; 1 where there is none."""
    bands = [border_band(mask > 0) for mask in masks]
    said = np.concatenate([share[band] for share, band in zip(shares, bands, strict=True)] or [np.zeros(0)])
    true = np.concatenate([(mask > 0)[band] for mask, band in zip(masks, bands, strict=True)] or [np.zeros(0, bool)])
    if not said.size:
        return 1.0

    def loss(logarithm: float) -> float:
        found = apply_temperature(said, float(np.exp(logarithm)))
        return float(-np.log(np.where(true, found, 1 - found)).mean())

    bounds = (np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def choose_confidence(confidences: Sequence[float], overlaps: Sequence[float], target: float) -> tuple[float, bool]:
    """The lowest confidence from which on held-out pictures have a mean Dice of `target`, and whether there is one.

    Where even the surest fall short, the cut lets the surest quarter pass.
    """
    order = np.argsort(confidences)[::-1]
    sure, right = np.asarray(confidences, float)[order], np.asarray(overlaps, float)[order]
    means = np.cumsum(right) / np.arange(1, len(right) + 1)
    good = np.flatnonzero(means >= target)
    if good.size:
        return float(sure[good[-1]]), True
    return (float(np.quantile(sure, 0.75)) if len(sure) else 1.0), False
