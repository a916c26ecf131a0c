"""Masks predicted by one network or the mean of several, and their post-processing."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage
from torch import Tensor

from fulora.data.pictures.resize import from_square, to_square
from fulora.progress import track
from fulora.segmentation.config import SegmentConfig
from fulora.segmentation.model import Unet
from fulora.training.inference import Inference, device_of

Pixels = UInt8[np.ndarray, "_ _"]  # each picture of its own size


def probabilities(
    models: Sequence[Unet], images: Iterable[Pixels], *, flip: bool = False, batch_size: int = 16
) -> Iterator[Float[np.ndarray, "classes h w"]]:
    """Yield, for each image at its size, the probability of the structure, or of background and each structure.

    Each model computes where it is, in full precision.

    Args:
        models: their probabilities are averaged; images are resized as each model's config says.
        images: gray, 0 to 255, of any sizes.
        flip: also average over mirror images.
        batch_size: images at once, of one size; fewer where a GPU has too little memory.

    Raises:
        DeviceError: if a device lacks an operation, or memory for a single image.
    """
    source, inferences = iter(images), [_inference(model.eval(), flip, batch_size) for model in models]
    while batch := list(islice(source, batch_size)):
        predictions = [_predict_batch(*pair, batch) for pair in zip(models, inferences, strict=True)]
        for each in zip(*predictions, strict=True):
            yield np.mean(each, axis=0)


def _inference(model: Unet, flip: bool, batch_size: int) -> Inference:
    def shares(pixels: UInt8[Tensor, "b h w"]) -> Float[Tensor, "b classes h w"]:
        plain = _forward(model, pixels)
        return (plain + _forward(model, pixels.flip(-1)).flip(-1)) / 2 if flip else plain

    return Inference(shares, device_of(model), cpu_batch=batch_size, gpu_batch=batch_size)


def _predict_batch(
    model: Unet, inference: Inference, batch: Sequence[Pixels]
) -> list[Float[np.ndarray, "classes h w"]]:
    cfg, size = model.cfg, model.cfg.image_size_px
    inputs = batch if size is None else [to_square(picture, size, cfg.fit) for picture in batch]
    results: list[Float[np.ndarray, "classes h w"]] = [np.empty(0)] * len(inputs)
    for shape in sorted({picture.shape for picture in inputs}):
        places = [place for place, picture in enumerate(inputs) if picture.shape == shape]
        shares = (share for rows in inference.rows(inputs[place] for place in places) for share in rows.numpy())
        for place, share in zip(places, shares, strict=True):
            results[place] = share
    if size is None:
        return results
    return [from_square(share, picture.shape, cfg.fit) for share, picture in zip(results, batch, strict=True)]


def _forward(model: Unet, pixels: UInt8[Tensor, "b h w"]) -> Float[Tensor, "b classes h w"]:
    logits: Tensor = model(pixels).float()
    return logits.sigmoid() if model.cfg.outputs == 1 else logits.softmax(dim=1)


def predict(
    models: Sequence[Unet], images: Iterable[Pixels], cfg: SegmentConfig, total: int | None = None
) -> Iterator[UInt8[np.ndarray, "h w"]]:
    """Yield the mask of each image at its size: class numbers, 0 background. `total` is for the progress bar."""
    shares = probabilities(models, images, flip=cfg.flip, batch_size=cfg.batch_size)
    for share in track(shares, "segment", total=total):
        yield largest_filled(to_labels(share)) if cfg.clean else to_labels(share)


def to_labels(shares: Float[np.ndarray, "classes h w"]) -> UInt8[np.ndarray, "h w"]:
    """Return class numbers: 1 if the only probability is above 0.5, or the class of the largest."""
    return np.asarray(shares[0] > 0.5 if len(shares) == 1 else shares.argmax(axis=0), np.uint8)


def largest_filled(mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Keep the largest 8-connected component of each class, and fill its holes that are background."""
    kept = np.zeros_like(mask)
    for label in range(1, int(mask.max(initial=0)) + 1):
        pieces, count = ndimage.label(mask == label, structure=np.ones((3, 3)))
        if count:
            kept[pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()] = label
    for label in range(1, int(mask.max(initial=0)) + 1):
        kept[ndimage.binary_fill_holes(kept == label) & (kept == 0)] = label
    return kept
