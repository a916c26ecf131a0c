"""Directions of pictures and of prompts in the space of a CLIP."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from fulora.clip.model import ClipError, ClipModel, Tokenizer, image_size_px, normalise, to_squares, to_unit_range


@torch.no_grad()
def text_directions(
    model: ClipModel, tokenizer: Tokenizer, prompts: Mapping[str, Sequence[str]]
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
    return F.normalize(torch.stack(columns, dim=1), dim=0)


@torch.no_grad()
def image_directions(
    model: ClipModel, count: int, picture: Callable[[int], UInt8[np.ndarray, "h w"]], batch_size: int = 64
) -> Float[Tensor, "count embed"]:
    """The unit direction of each picture, on the CPU. Whole frames are seen: padded with black, never cropped.

    Args:
        picture: gives a picture by its number, gray, 0 to 255, of any size.
    """
    size, device = image_size_px(model), next(model.parameters()).device
    found = [torch.zeros(0, _width(model))]
    for first in range(0, count, batch_size):
        shown = to_squares((picture(number) for number in range(first, min(first + batch_size, count))), size)
        pixels = to_unit_range(shown).to(device)
        found.append(model.encode_image(normalise(model, pixels), normalize=True).float().cpu())
    return torch.cat(found)


def _width(model: ClipModel) -> int:
    return int(model.visual.output_dim)
