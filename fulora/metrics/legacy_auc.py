"""The published "AUC" of FU-LoRA, which is wrong.

The authors' notebook takes hard decisions, not probabilities, and counts a decision outside the four planes (the
negative class) as a hit for *every* plane: whoever decides so for each image gets no plane wrong. It serves comparison
with the published table only. Both formulas below are the mean of sensitivity and specificity of one
decision; neither is an area under a ROC curve. `true` and `predicted` hold class indices.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from fulora.metrics.classification import Indices


def legacy_fu_lora_auc(true: Indices, predicted: Indices, labels: Sequence[int]) -> list[float]:
    """The notebook's "AUC" of each label: wrong, see above. A decision outside `labels` counts as every label."""
    elsewhere = ~np.isin(predicted, labels)
    return [_sensitivity_and_specificity(true == k, (predicted == k) | elsewhere) for k in labels]


def hard_label_auc(true: Indices, predicted: Indices, labels: Sequence[int]) -> list[float]:
    """What the notebook meant to compute: each label's mean of sensitivity and specificity of the decision itself."""
    return [_sensitivity_and_specificity(true == k, predicted == k) for k in labels]


def _sensitivity_and_specificity(positive: Bool[np.ndarray, " n"], predicted: Bool[np.ndarray, " n"]) -> float:
    return float((predicted[positive].mean() + 1 - predicted[~positive].mean()) / 2)
