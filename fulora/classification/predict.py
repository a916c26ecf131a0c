"""Class probabilities of a trained classifier."""

import numpy as np
import torch
from jaxtyping import Float, UInt8

from fulora.classification.model import Classifier
from fulora.training.inference import Inference, device_of


def to_pixels(images: UInt8[np.ndarray, "n h w"]) -> Float[torch.Tensor, "n 1 h w"]:
    """Convert gray images, 0 to 255, to a tensor of 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(images))[:, None].float() / 255


def predict(
    model: Classifier, images: UInt8[np.ndarray, "n h w"], batch_size: int = 64, *, half: bool = False
) -> Float[np.ndarray, "n classes"]:
    """Return the probability of each class, in the order of the training, computed where the model is. Rows sum to 1.

    The model is evaluated in evaluation mode, and its mode restored.

    Args:
        batch_size: pictures at once on a CPU; a GPU takes what fits.
        half: half precision on a CUDA GPU, within the tolerance of `fulora.training.inference.Inference`.

    Raises:
        DeviceError: if the device lacks an operation, or memory for a single picture.
    """
    training = model.training
    model.eval()
    logits = Inference(
        lambda pixels: model(pixels[:, None].float() / 255), device_of(model), cpu_batch=batch_size, half=half
    )
    shares = [rows.double().softmax(-1).numpy() for rows in logits.rows(images)]
    model.train(training)
    return np.concatenate([np.zeros((0, model.facts.classes)), *shares])
