"""Normalised CLIP embeddings of pictures and prompts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from fulora.clip.model import ClipError, ClipModel, Tokenizer, image_size_px, normalise, to_squares, to_unit_range


@torch.no_grad()
def text_directions(
    model: ClipModel, tokenizer: Tokenizer, prompts: Mapping[str, Sequence[str]]
) -> Float[Tensor, "embed classes"]:
    """Return a unit vector per class: the mean of its prompts' unit embeddings (Radford et al. 2021, section 3.1.4).

    Args:
        prompts: one or more prompts per class; classes in the order of the columns.

    Raises:
        ClipError: if there are no classes, or a class has no prompt.
    """
    empty = [name for name, texts in prompts.items() if not texts]
    if empty or not prompts:
        raise ClipError(f"no prompt for {', '.join(empty) or 'any class'}: every class needs one or more")
    device = next(model.parameters()).device
    columns = [
        model.encode_text(tokenizer(list(texts)).to(device), normalize=True).mean(0) for texts in prompts.values()
    ]
    return F.normalize(torch.stack(columns, dim=1), dim=0)


@torch.no_grad()
def image_directions(
    model: ClipModel, count: int, picture: Callable[[int], UInt8[np.ndarray, "h w"]], batch_size: int = 64
) -> Float[Tensor, "count embed"]:
    """Return the unit embedding of each picture, on the CPU. Pictures are padded with black, never cropped.

    Args:
        picture: returns a picture by its number, gray, 0 to 255, of any size.
    """
    size, device = image_size_px(model), next(model.parameters()).device
    embeddings = [torch.zeros(0, int(model.visual.output_dim))]
    for first in range(0, count, batch_size):
        shown = to_squares((picture(number) for number in range(first, min(first + batch_size, count))), size)
        pixels = to_unit_range(shown).to(device)
        embeddings.append(model.encode_image(normalise(model, pixels), normalize=True).float().cpu())
    return torch.cat(embeddings)
