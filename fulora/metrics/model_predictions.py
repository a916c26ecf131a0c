"""Predictions of a classifier for a set of images, with the true classes, patients and sites."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped


@dataclass(frozen=True)
class ModelPredictions:
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

    def of(self, chosen: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> "ModelPredictions":
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
