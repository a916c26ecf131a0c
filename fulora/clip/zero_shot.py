"""Classify pictures by prompts: the plane whose words lie nearest, and the ways to decide for "other"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_curve

from fulora.clip.embed import text_directions
from fulora.clip.loading import Clip
from fulora.clip.model import ClipError, scale_of
from fulora.data.labels import PLANES

OTHER = PLANES.index("other")
KNOWN = [place for place in range(len(PLANES)) if place != OTHER]

Logits = Float[np.ndarray, "n classes"]
Probabilities = Float[np.ndarray, "n planes"]


@dataclass(frozen=True)
class OtherRule:
    """A threshold below which a picture shows "other": of the largest probability, or of the energy, of the others.

    Attributes:
        spread: standard deviation of the scores that the threshold was chosen on; gives probabilities their slope.
        sensitivity, specificity: of "other", there.
    """

    kind: str
    threshold: float
    spread: float
    sensitivity: float
    specificity: float

    def __str__(self) -> str:
        found = f"sensitivity {self.sensitivity:.2f}, specificity {self.specificity:.2f} on the validation split"
        return f"other by {self.kind} below {self.threshold:.4g} ({found})"


def by_prompts(logits: Logits) -> Probabilities:
    """Probabilities of the planes: softmax over all classes; those beyond the planes are added to other."""
    found = softmax(logits.astype(np.float64), axis=1)
    planes = found[:, : len(PLANES)].copy()
    planes[:, OTHER] += found[:, len(PLANES) :].sum(axis=1)
    return np.asarray(planes)


def confidence(logits: Logits, kind: str) -> Float[np.ndarray, " n"]:
    """How sure a picture is to show a known plane: the largest probability among these, or their energy.

    The energy is the log of the sum of exponentials of the logits (Liu et al., NeurIPS 2020, equation 5, negated).
    """
    known = logits[:, KNOWN].astype(np.float64)
    return np.asarray(softmax(known, axis=1).max(axis=1) if kind == "threshold" else logsumexp(known, axis=1))


def choose_rule(logits: Logits, true: Int[np.ndarray, " n"], kind: str) -> OtherRule:
    """The threshold with the best balanced accuracy of "other" against the rest on validation images.

    Raises:
        ClipError: validation images show no other plane, or nothing else.
    """
    is_other = true == OTHER
    if is_other.all() or not is_other.any():
        raise ClipError(
            f"other={kind} chooses its threshold on validation images of other and of known planes; of {len(true)} "
            f"there, {int(is_other.sum())} show other. Add some, or set other=prompts"
        )
    scores = confidence(logits, kind)
    false_alarms, hits, thresholds = roc_curve(is_other, -scores)
    best = int(np.argmax(hits - false_alarms))
    below = -float(thresholds[best])
    higher = scores[scores > below]
    threshold = (below + float(higher.min())) / 2 if len(higher) and np.isfinite(below) else below
    return OtherRule(kind, threshold, float(scores.std()) or 1.0, float(hits[best]), float(1 - false_alarms[best]))


def by_rule(logits: Logits, rule: OtherRule) -> Probabilities:
    """Probabilities whose largest is "other" exactly where the confidence is below the threshold.

    With q = 1 / (1 + exp((confidence - threshold) / spread)), other has the weight q, the known planes 1 - q times
    their probability over the largest one; the weights are then scaled to add up to 1.
    """
    known = softmax(logits[:, KNOWN].astype(np.float64), axis=1)
    q = 1 / (1 + np.exp(np.clip((confidence(logits, rule.kind) - rule.threshold) / rule.spread, -50, 50)))
    weights = np.zeros((len(logits), len(PLANES)))
    weights[:, KNOWN] = (1 - q)[:, None] * known / known.max(axis=1, keepdims=True)
    weights[:, OTHER] = q
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def prompt_logits(clip: Clip, classes: Mapping[str, Sequence[str]], directions: Float[np.ndarray, "n embed"]) -> Logits:
    """Cosines of pictures to the classes' prompts times the learned scale."""
    texts = text_directions(clip.model, clip.tokenizer, classes).numpy()
    return np.asarray(scale_of(clip.model) * directions @ texts)
