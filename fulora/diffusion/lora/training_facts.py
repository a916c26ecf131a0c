"""`TrainingFacts`: the base model and data of a LoRA, for its file and its model card."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainingFacts:
    """The base model and data of a LoRA.

    Attributes:
        base_model: hub id or folder name of the backbone, never its path; "" if not known.
        base_digest: hexadecimal digest of its content.
        captions: number of images of each caption.
        patients: number of patients; 0 if not known.
        images_digest, validation_digest, prior_digest: hexadecimal digests of pixels and captions of the training,
            validation and prior images; "" if there are none.
        validation_images: number of images for the validation loss.
        step: training step of the weights; 0 if not known.
    """

    base_model: str = ""
    base_digest: str = ""
    captions: Counter[str] = field(default_factory=Counter)
    patients: int = 0
    images_digest: str = ""
    validation_digest: str = ""
    prior_digest: str = ""
    validation_images: int = 0
    step: int = 0


INPUT_DIGESTS = ("base_digest", "images_digest", "validation_digest", "prior_digest")
"""The facts that distinguish trainings with the same settings."""


def input_digests(facts: TrainingFacts) -> list[str]:
    """Return the values of `INPUT_DIGESTS`."""
    return [getattr(facts, name) for name in INPUT_DIGESTS]
