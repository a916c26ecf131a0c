"""Normalised CLIP embeddings of pictures and prompts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from fulora.clip.model import FIT, RESAMPLING, ClipError, ClipModel, Tokenizer, image_size_px, normalise
from fulora.data.pictures.resize import to_square
from fulora.training.devices import missing_operations_named
from fulora.training.inference import Inference, decoded_ahead, device_of


@torch.no_grad()
def text_directions(
    model: ClipModel, tokenizer: Tokenizer, prompts: Mapping[str, Sequence[str]]
) -> Float[Tensor, "embed classes"]:
    """Return a unit vector per class: the mean of its prompts' unit embeddings (Radford et al. 2021, section 3.1.4).

    It is computed in full precision, and stays on the model's device.

    Args:
        prompts: one or more prompts per class; classes in the order of the columns.

    Raises:
        ClipError: if there are no classes, or a class has no prompt.
        DeviceError: if the device lacks an operation.
    """
    empty = [name for name, texts in prompts.items() if not texts]
    if empty or not prompts:
        raise ClipError(f"no prompt for {', '.join(empty) or 'any class'}: every class needs one or more")
    device = device_of(model)
    with missing_operations_named():
        columns = [
            model.encode_text(tokenizer(list(texts)).to(device), normalize=True).mean(0) for texts in prompts.values()
        ]
    return F.normalize(torch.stack(columns, dim=1), dim=0)


def image_directions(
    model: ClipModel, count: int, picture: Callable[[int], UInt8[np.ndarray, "h w"]], batch_size: int = 64
) -> Float[Tensor, "count embed"]:
    """Return the unit embedding of each picture, on the CPU, computed where the model is.

    Pictures are padded with black, never cropped. On a CUDA GPU the tower runs in half precision, within the tolerance
    of `fulora.training.inference.Inference`.

    Args:
        picture: returns a picture by its number, gray, 0 to 255, of any size; called in threads.
        batch_size: pictures at once on a CPU; a GPU takes what fits.

    Raises:
        DeviceError: if the device lacks an operation, or memory for a single picture.
    """
    size = image_size_px(model)

    def square(number: int) -> UInt8[np.ndarray, "size size"]:
        return to_square(picture(number), size, FIT, RESAMPLING)

    def directions(pixels: UInt8[Tensor, "b s s"]) -> Float[Tensor, "b embed"]:
        features = model.encode_image(normalise(model, pixels[:, None].float() / 255))
        return F.normalize(features.float(), dim=-1)

    inference = Inference(directions, device_of(model), cpu_batch=batch_size, half=True)
    squares = decoded_ahead(square, range(count), inference.batch_size)
    return torch.cat([torch.zeros(0, int(model.visual.output_dim)), *inference.rows(squares)])
