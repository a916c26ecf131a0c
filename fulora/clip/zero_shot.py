"""Classify pictures by prompts: the class whose words lie nearest, and the ways to decide for the negative class."""

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
    """A threshold below which a picture shows the negative class: of the largest probability, or the energy, of others.

    Attributes:
        negative: the name of the class.
        spread: standard deviation of the scores that the threshold was chosen on; gives probabilities their slope.
        sensitivity, specificity: of the negative class, there.
    """

    negative: str
    kind: str
    threshold: float
    spread: float
    sensitivity: float
    specificity: float

    def __str__(self) -> str:
        found = f"sensitivity {self.sensitivity:.2f}, specificity {self.specificity:.2f} on the validation split"
        return f"{self.negative} by {self.kind} below {self.threshold:.4g} ({found})"


def classify_by_prompts(logits: Logits, labels: LabelSet) -> Probabilities:
    """Probabilities of the classes: softmax over all columns; those of distractors are added to the negative class."""
    found, count = softmax(logits.astype(np.float64), axis=1), len(labels.names)
    classes = found[:, :count].copy()
    if labels.negative is not None:
        classes[:, labels.names.index(labels.negative)] += found[:, count:].sum(axis=1)
    return np.asarray(classes)


def confidence(logits: Logits, labels: LabelSet, kind: str) -> Float[np.ndarray, " n"]:
    """How sure a picture is to show a class that is not negative: the largest probability among these, or their energy.

    The energy is the log of the sum of exponentials of the logits (Liu et al., NeurIPS 2020, equation 5, negated).
    """
    known = logits[:, _known(labels)].astype(np.float64)
    return np.asarray(softmax(known, axis=1).max(axis=1) if kind == "threshold" else logsumexp(known, axis=1))


def choose_rule(logits: Logits, true: Int[np.ndarray, " n"], labels: LabelSet, kind: str) -> NegativeRule:
    """The threshold with the best balanced accuracy of the negative class against the rest on validation images.

    Args:
        true: the place of each image's class in `labels`.
        labels: with a negative class.

    Raises:
        ClipError: validation images show the negative class alone, or never.
    """
    (place,) = labels.places([str(labels.negative)])
    is_negative = true == place
    if is_negative.all() or not is_negative.any():
        raise ClipError(
            f"other={kind} chooses its threshold on validation images of {labels.negative} and of other classes; of "
            f"{len(true)} there, {int(is_negative.sum())} show {labels.negative}. Add some, or set other=prompts"
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
    """Probabilities whose largest is the negative class exactly where the confidence is below the threshold.

    With q = 1 / (1 + exp((confidence - threshold) / spread)), the negative class has the weight q, the others 1 - q
    times their probability over the largest one; the weights are then scaled to add up to 1.
    """
    places = _known(labels)
    known = softmax(logits[:, places].astype(np.float64), axis=1)
    q = 1 / (1 + np.exp(np.clip((confidence(logits, labels, rule.kind) - rule.threshold) / rule.spread, -50, 50)))
    weights = np.zeros((len(logits), len(labels.names)))
    weights[:, places] = (1 - q)[:, None] * known / known.max(axis=1, keepdims=True)
    weights[:, labels.names.index(rule.negative)] = q
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _known(labels: LabelSet) -> list[int]:
    """The places of the classes that are not negative."""
    return [place for place, name in enumerate(labels.names) if name != labels.negative]


def prompt_logits(clip: Clip, classes: Mapping[str, Sequence[str]], directions: Float[np.ndarray, "n embed"]) -> Logits:
    """Cosines of pictures to the classes' prompts times the learned scale."""
    texts = text_directions(clip.model, clip.tokenizer, classes).numpy()
    return np.asarray(logit_scale(clip.model) * directions @ texts)
