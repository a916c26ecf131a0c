"""Class probabilities of a trained classifier."""

import numpy as np
import torch
from jaxtyping import Float, UInt8

from fulora.classification.model import Classifier


def to_pixels(images: UInt8[np.ndarray, "n h w"]) -> Float[torch.Tensor, "n 1 h w"]:
    """Convert gray images, 0 to 255, to a tensor of 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(images))[:, None].float() / 255


@torch.no_grad()
def predict(
    model: Classifier, images: UInt8[np.ndarray, "n h w"], batch_size: int = 64
) -> Float[np.ndarray, "n classes"]:
    """Return the probability of each class, in the order of the training. Rows sum to 1.

    The model is evaluated in evaluation mode, and its mode restored.
    """
    device, training = next(model.parameters()).device, model.training
    batches = [np.zeros((0, model.facts.classes))]
    model.eval()
    for first in range(0, len(images), batch_size):
        logits = model(to_pixels(images[first : first + batch_size]).to(device))
        batches.append(logits.double().softmax(-1).cpu().numpy())
    model.train(training)
    return np.concatenate(batches)
