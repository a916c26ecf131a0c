"""Zero-shot classification of pictures by prompts, and rules that decide for the negative class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_curve

from fulora.clip.embed import text_directions
from fulora.clip.loading import Clip
from fulora.clip.model import ClipError, logit_scale
from fulora.data.label_set import LabelSet

Logits = Float[np.ndarray, "n columns"]
"""A column for each class, in the order of the label set, and then one for each distractor."""
Probabilities = Float[np.ndarray, "n classes"]


@dataclass(frozen=True)
class NegativeRule:
    """A threshold on the confidence in the other classes, below which a picture is of the negative class.

    Attributes:
        negative: the name of the class.
        kind: the confidence (`confidence`): `threshold` or `energy`.
        spread: standard deviation of the confidences on the validation split; the slope of the probabilities.
        sensitivity, specificity: of the negative class, on the validation split.
    """

    negative: str
    kind: str
    threshold: float
    spread: float
    sensitivity: float
    specificity: float

    def __str__(self) -> str:
        accuracy = f"sensitivity {self.sensitivity:.2f}, specificity {self.specificity:.2f} on the validation split"
        return f"{self.negative} by {self.kind} below {self.threshold:.4g} ({accuracy})"


def classify_by_prompts(logits: Logits, labels: LabelSet) -> Probabilities:
    """Return the softmax over all columns; probabilities of distractors are added to the negative class."""
    probabilities, count = softmax(logits.astype(np.float64), axis=1), len(labels.names)
    classes = probabilities[:, :count].copy()
    if labels.negative is not None:
        classes[:, labels.names.index(labels.negative)] += probabilities[:, count:].sum(axis=1)
    return np.asarray(classes)


def confidence(logits: Logits, labels: LabelSet, kind: str) -> Float[np.ndarray, " n"]:
    """Return the confidence that a picture is not of the negative class: the largest other probability, or the energy.

    The energy is the log of the sum of exponentials of the logits (Liu et al., NeurIPS 2020, equation 5, negated).
    """
    others = logits[:, _other_indices(labels)].astype(np.float64)
    return np.asarray(softmax(others, axis=1).max(axis=1) if kind == "threshold" else logsumexp(others, axis=1))


def choose_rule(logits: Logits, true: Int[np.ndarray, " n"], labels: LabelSet, kind: str) -> NegativeRule:
    """Choose the threshold with the best balanced accuracy of the negative class against the rest.

    Args:
        logits: of validation images.
        true: the index of each image's class in `labels`.
        labels: a label set with a negative class.

    Raises:
        ClipError: if the validation images show only the negative class, or not at all.
    """
    (place,) = labels.places([str(labels.negative)])
    is_negative = true == place
    if is_negative.all() or not is_negative.any():
        raise ClipError(
            f"other={kind} chooses its threshold on validation images of {labels.negative} and of other classes; "
            f"{int(is_negative.sum())} of {len(true)} show {labels.negative}. Add some, or set other=prompts"
        )
    scores = confidence(logits, labels, kind)
    false_alarms, hits, thresholds = roc_curve(is_negative, -scores)
    best = int(np.argmax(hits - false_alarms))
    below = -float(thresholds[best])
    higher = scores[scores > below]
    return NegativeRule(
        negative=labels.names[place],
        kind=kind,
        threshold=(below + float(higher.min())) / 2 if len(higher) and np.isfinite(below) else below,
        spread=float(scores.std()) or 1.0,
        sensitivity=float(hits[best]),
        specificity=float(1 - false_alarms[best]),
    )


def classify_by_rule(logits: Logits, labels: LabelSet, rule: NegativeRule) -> Probabilities:
    """Return probabilities whose largest is the negative class exactly where the confidence is below the threshold.

    With q = 1 / (1 + exp((confidence - threshold) / spread)), the negative class has the weight q, the others 1 - q
    times their probability over the largest one; the weights are then scaled to add up to 1.
    """
    places = _other_indices(labels)
    others = softmax(logits[:, places].astype(np.float64), axis=1)
    q = 1 / (1 + np.exp(np.clip((confidence(logits, labels, rule.kind) - rule.threshold) / rule.spread, -50, 50)))
    weights = np.zeros((len(logits), len(labels.names)))
    weights[:, places] = (1 - q)[:, None] * others / others.max(axis=1, keepdims=True)
    weights[:, labels.names.index(rule.negative)] = q
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _other_indices(labels: LabelSet) -> list[int]:
    return [place for place, name in enumerate(labels.names) if name != labels.negative]


def prompt_logits(clip: Clip, classes: Mapping[str, Sequence[str]], directions: Float[np.ndarray, "n embed"]) -> Logits:
    """Return the cosine similarities of pictures and the classes' prompts times the learned scale."""
    texts = text_directions(clip.model, clip.tokenizer, classes).cpu().numpy()
    return np.asarray(logit_scale(clip.model) * directions @ texts)
