"""The rules by which a class is decided from the predictions of a classifier."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from fulora.metrics.classification import prior_adjusted, restricted
from fulora.metrics.image_groups import RuleKind
from fulora.metrics.model_predictions import ModelPredictions


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


def decision_rules(answers: ModelPredictions, labels: Sequence[int], prior: Prior | None) -> list[Rule]:
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
