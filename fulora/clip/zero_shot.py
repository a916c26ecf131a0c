"""Classify images by prompts alone: the plane whose words lie nearest to the picture."""

from collections.abc import Mapping, Sequence

import numpy as np
import open_clip
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fulora.clip.model import ClipError, Tokenizer, image_size_px, normalised, to_square


@torch.no_grad()
def classifier(
    model: open_clip.CLIP | open_clip.CustomTextCLIP, tokenizer: Tokenizer, prompts: Mapping[str, Sequence[str]]
) -> Float[Tensor, "embed classes"]:
    """One unit direction a class: the mean of its prompts' unit directions (Radford et al. 2021, section 3.1.4).

    Args:
        prompts: one prompt or more a class; classes in the order of the columns.

    Raises:
        ClipError: no class, or a class without a prompt.
    """
    empty = [name for name, texts in prompts.items() if not texts]
    if empty or not prompts:
        raise ClipError(f"no prompt for {', '.join(empty) or 'any class'}: every class needs one or more")
    device = next(model.parameters()).device
    columns = [
        model.encode_text(tokenizer(list(texts)).to(device), normalize=True).mean(0) for texts in prompts.values()
    ]
    return torch.nn.functional.normalize(torch.stack(columns, dim=1), dim=0)


@torch.no_grad()
def predict(
    model: open_clip.CLIP | open_clip.CustomTextCLIP,
    weights: Float[Tensor, "embed classes"],
    images: UInt8[np.ndarray, "n h w"],
    batch_size: int = 64,
) -> Float[np.ndarray, "n classes"]:
    """Probabilities of every class: softmax of the cosines times the learned logit scale. Rows sum to 1.

    Whole frames are seen: each is padded with black to a square, never cropped. The model stays in the mode it is in,
    `load_clip` gives it in evaluation mode.
    """
    size, found = image_size_px(model), []
    for first in range(0, len(images), batch_size):
        pixels = to_square(images[first : first + batch_size], size).to(weights.device)
        features = model.encode_image(normalised(model, pixels), normalize=True)
        found.append((model.logit_scale.exp() * features @ weights).double().softmax(-1).cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, weights.shape[1]))
