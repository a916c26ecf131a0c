"""`TrainingFacts`: what a LoRA was trained on, as its file and its model card say it."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainingFacts:
    """What a LoRA was trained on, for its file and its model card.

    Attributes:
        base_model: the backbone's hub id or folder name, never a whole path; "" where it is not known.
        base_digest: of its content, hexadecimal.
        captions: how many images each caption had.
        patients: how many patients the images show; 0 where it is not known.
        images_digest, validation_digest, prior_digest: of the pixels and captions of the images that were trained on,
            evaluated on, and not to be unlearned, hexadecimal; "" where there were none.
        validation_images: how many were held out for the validation loss.
        step: after which step the weights are; 0 where it is not known.
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
"""The facts that tell a training from another one with the same settings."""


def input_digests(facts: TrainingFacts) -> list[str]:
    """The values of `INPUT_DIGESTS`."""
    return [getattr(facts, name) for name in INPUT_DIGESTS]
