"""Aspect buckets, as kohya's sd-scripts assign them: images of many shapes, trained in batches of one shape each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Int, UInt8

if TYPE_CHECKING:  # the sizes alone are asked for where torch is not wanted
    from torch import Tensor

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Bucket:
    """The resizing of an image: to `resized`, then centre-cropped to `size`."""

    resized: Size
    size: Size


def bucket_of(width: int, height: int, *, resolution_px: int, step_px: int, upscale: bool) -> Bucket:
    """Return the bucket of an image of `width` x `height` pixels.

    An image of more than `resolution_px` squared pixels is shrunk to about that area, keeping its shape; a smaller one
    keeps its size, or with `upscale` is enlarged to cover the resolution of nearest shape. Then it is cropped to sides
    that are multiples of `step_px`. The rules are those of `BucketManager` in kohya's sd-scripts, `upscale=False`
    being its `bucket_no_upscale`.

    Raises:
        LoraError: if a side is less than one step.
    """
    if upscale:
        bucket = _covering(width, height, resolutions(resolution_px, step_px))
    elif width * height > resolution_px**2:
        bucket = _cropped(_shrunk(width, height, resolution_px, step_px), step_px)
    else:
        bucket = _cropped((width, height), step_px)
    if min(bucket.size) < step_px:
        from fulora.diffusion.lora.lora_error import LoraError

        raise LoraError(
            f"an image of {width}x{height} pixels becomes {bucket.resized[0]}x{bucket.resized[1]}, less than one "
            f"bucket_step_px={step_px} on a side: leave it out, lower bucket_step_px, or set bucket_upscale"
        )
    return bucket


def resolutions(resolution_px: int, step_px: int) -> list[Size]:
    """The sizes that images are enlarged to: of at most `resolution_px` squared pixels, with sides that are multiples
    of `step_px`, from half to twice `resolution_px` (kohya's 256 and 1024 for 512)."""
    area = resolution_px**2
    shortest = max(step_px, resolution_px // 2 // step_px * step_px)
    longest = 2 * resolution_px // step_px * step_px
    square = resolution_px // step_px * step_px
    sizes = {(square, square)}
    for side in range(shortest, longest + 1, step_px):
        other = min(longest, area // side // step_px * step_px)
        if other >= shortest:
            sizes |= {(side, other), (other, side)}
    return sorted(sizes)


def _covering(width: int, height: int, sizes: Sequence[Size]) -> Bucket:
    aspect = width / height
    exact = (width, height) in sizes
    size = (width, height) if exact else min(sizes, key=lambda size: abs(size[0] / size[1] - aspect))
    scale = size[1] / height if aspect > size[0] / size[1] else size[0] / width
    return Bucket((int(width * scale + 0.5), int(height * scale + 0.5)), size)


def _shrunk(width: int, height: int, resolution_px: int, step_px: int) -> Size:
    """One side a multiple of the step: the side whose rounding, with the other side rounded after it, changes the
    aspect less."""
    aspect = width / height
    ideal_width = math.sqrt(resolution_px**2 * aspect)
    by_width = _floor(ideal_width, step_px)
    by_height = _floor(resolution_px**2 / ideal_width, step_px)
    error_by_width = _aspect_error(by_width, _floor(by_width / aspect, step_px), aspect)
    error_by_height = _aspect_error(_floor(by_height * aspect, step_px), by_height, aspect)
    if error_by_width < error_by_height:
        return by_width, int(by_width / aspect + 0.5)
    return int(by_height * aspect + 0.5), by_height


def _aspect_error(width: int, height: int, aspect: float) -> float:
    return abs(width / height - aspect) if width and height else math.inf


def _floor(length: float, step_px: int) -> int:
    return int(length + 0.5) // step_px * step_px


def _cropped(resized: Size, step_px: int) -> Bucket:
    return Bucket(resized, (resized[0] // step_px * step_px, resized[1] // step_px * step_px))


def fit_to_bucket(picture: UInt8[np.ndarray, "_ _"], bucket: Bucket) -> UInt8[np.ndarray, "h w"]:
    """The picture resized by averaging areas and cropped around its centre, as kohya does."""
    height, width = picture.shape
    if (width, height) != bucket.resized:
        picture = cv2.resize(picture, bucket.resized, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    left, top = ((whole - kept) // 2 for whole, kept in zip(bucket.resized, bucket.size, strict=True))
    return picture[top : top + bucket.size[1], left : left + bucket.size[0]]


def draw_places(sizes_by_image: Sequence[Size], batch_size: int, step: int, seed: int) -> 'Int[Tensor, " b"]':
    """The images of training step `step` (from 0): a full batch of one size.

    In every cycle of as many steps as there are images, each image's place in a random order gives one step to the
    image's bucket; the bucket then hands out its own images, epoch after epoch. So every image is seen `batch_size`
    times a cycle. Depends on the step alone; with one size it is `batch_indices(n, batch_size, step, seed, "lora",
    "order")`.

    Args:
        sizes_by_image: each image's `Bucket.size`.
    """
    import torch

    from fulora.training.seeded_draws import batch_indices, seeded_generator

    count = len(sizes_by_image)
    if len(set(sizes_by_image)) == 1:
        return batch_indices(count, batch_size, step, seed, "lora", "order")
    cycle, place = divmod(step, count)
    order = torch.randperm(count, generator=seeded_generator(seed, "lora", "bucket", cycle)).tolist()
    size = sizes_by_image[order[place]]
    members = [image for image, other in enumerate(sizes_by_image) if other == size]
    taken = cycle * len(members) + sum(sizes_by_image[image] == size for image in order[:place])
    name = f"{size[0]}x{size[1]}"
    return torch.tensor(members)[batch_indices(len(members), batch_size, taken, seed, "lora", "order", name)]
