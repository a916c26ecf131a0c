"""The published "AUC" of FU-LoRA, which is wrong, and which of its published values are possible at all.

The authors' notebook takes hard decisions, not probabilities, and counts a decision outside the four planes (the
negative class) as a hit for *every* plane: whoever decides so for each image gets no plane wrong. It is here to compare
with the published table, and for nothing else. Both formulas below are the mean of sensitivity and specificity of one
decision; neither is an area under a ROC curve. `true` and `predicted` hold class indices.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from scipy.optimize import Bounds, LinearConstraint, milp

from fulora.metrics.classification import Indices

ROUNDING = 5.1e-5  # published in percent with two decimals


def legacy_fu_lora_auc(true: Indices, predicted: Indices, labels: Sequence[int]) -> list[float]:
    """The notebook's "AUC" of each label: wrong, see above. A decision outside `labels` counts as every label."""
    elsewhere = ~np.isin(predicted, labels)
    return [_sensitivity_and_specificity(true == k, (predicted == k) | elsewhere) for k in labels]


def hard_label_auc(true: Indices, predicted: Indices, labels: Sequence[int]) -> list[float]:
    """What the notebook meant to compute: each label's mean of sensitivity and specificity of the decision itself."""
    return [_sensitivity_and_specificity(true == k, predicted == k) for k in labels]


def possible_auc(correct: int, recall: float, support: Sequence[int], *, legacy: bool) -> tuple[float, float]:
    """Least and greatest mean "AUC" of any confusion matrix with these figures (mixed integer programming).

    Args:
        correct: right decisions of all images.
        recall: macro recall 0..1, known to half of 0.01 %.
        support: images that truly show each label.
        legacy: `legacy_fu_lora_auc`, else `hard_label_auc`.

    Raises:
        ValueError: no confusion matrix has this recall with so many right.
    """
    k, n = len(support), sum(support)
    cells = k * (k + 1)  # true label by decision: the k labels, then any other class
    rows = np.arange(cells).reshape(k, k + 1)
    gains = np.zeros(cells)
    for label in range(k):
        hit, miss = 1 / (2 * k * support[label]), 1 / (2 * k * (n - support[label]))
        for column in {label, k} if legacy else {label}:
            gains[rows[label, column]] += hit
            gains[np.delete(rows[:, column], label)] -= miss
    totals = np.zeros((k, cells))
    for label in range(k):
        totals[label, rows[label]] = 1
    right = np.zeros((2, cells))
    right[0, np.diag(rows)] = 1
    right[1, np.diag(rows)] = 1 / (k * np.asarray(support))
    constraints = [
        LinearConstraint(totals, support, support),
        LinearConstraint(right, [correct, recall - ROUNDING], [correct, recall + ROUNDING]),
    ]
    found = [milp(sign * gains, constraints=constraints, integrality=1, bounds=Bounds(0, n)) for sign in (1, -1)]
    if any(result.x is None for result in found):
        raise ValueError(f"no confusion matrix of {list(support)} images has {correct} right and macro recall {recall}")
    return float(found[0].fun + 0.5), float(0.5 - found[1].fun)


def _sensitivity_and_specificity(positive: Bool[np.ndarray, " n"], said: Bool[np.ndarray, " n"]) -> float:
    """Their mean."""
    return float((said[positive].mean() + 1 - said[~positive].mean()) / 2)
