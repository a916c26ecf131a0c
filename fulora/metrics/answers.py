"""Predictions of classifiers on the same images, and the rules by which a class is decided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from fulora.metrics.classification import prior_adjusted, restricted
from fulora.metrics.groups import RuleKind


@dataclass(frozen=True)
class Answers:
    """Predictions of a model for n images, one row a training seed.

    Attributes:
        names: of the classes; `true`, `decided` and the columns of `probabilities` are in this order.
        decided: the model's own decision among all classes.
        patients: one name per image; a patient belongs to one site.
        negative: the number of the negative class; None if there is none.
    """

    names: tuple[str, ...]
    true: Int[np.ndarray, " n"]
    decided: Int[np.ndarray, "seeds n"]
    probabilities: Float[np.ndarray, "seeds n classes"] | None
    patients: Shaped[np.ndarray, " n"]
    sites: Shaped[np.ndarray, " n"]
    negative: int | None = None

    def of(self, chosen: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> "Answers":
        """Select some images, by a mask or by indices."""
        return replace(
            self,
            true=self.true[chosen],
            decided=self.decided[:, chosen],
            probabilities=None if self.probabilities is None else self.probabilities[:, chosen],
            patients=self.patients[chosen],
            sites=self.sites[chosen],
        )

    def shown(self, labels: Sequence[int]) -> list[int]:
        """Return the labels that are the true class of an image, in their order."""
        return [label for label in labels if (self.true == label).any()]


@dataclass(frozen=True)
class Prior:
    """Shares of the classes, each adding up to 1: in training, and where the model is used."""

    training: Float[np.ndarray, " classes"]
    target: Float[np.ndarray, " classes"]


@dataclass(frozen=True)
class Rule:
    """A decision rule: the decided class of each image and seed, and the classes it can decide for."""

    kind: RuleKind
    decided: Int[np.ndarray, "seeds n"]
    among: tuple[int, ...]

    def of(self, chosen: Bool[np.ndarray, " n"]) -> "Rule":
        """Select some images."""
        return Rule(self.kind, self.decided[:, chosen], self.among)


def decision_rules(answers: Answers, labels: Sequence[int], prior: Prior | None) -> list[Rule]:
    """Return the model's own decision; with probabilities also that among `labels`, and a prior-adjusted one."""
    everything = tuple(range(len(answers.names)))
    rules = [Rule("own decision", answers.decided, everything)]
    if answers.probabilities is None:
        return rules
    if len(labels) < len(answers.names):
        among = np.array([restricted(seed, labels).argmax(axis=1) for seed in answers.probabilities])
        rules.append(Rule("among the labels", among, tuple(labels)))
    if prior is not None:
        adjusted = [prior_adjusted(seed, prior.training, prior.target) for seed in answers.probabilities]
        possible = tuple(np.flatnonzero(prior.target).tolist())
        rules.append(Rule("prior-adjusted", np.array([seed.argmax(axis=1) for seed in adjusted]), possible))
    return rules
