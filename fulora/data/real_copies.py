"""Copies of real images, unchanged or augmented: what control arms add in place of synthetic images."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from fulora.data.column_types import Plane
from fulora.data.hybrid import MixConfig
from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import Picture
from fulora.environment import derive_seed

MAX_TURN_DEG, MAX_SCALE, MAX_GAIN = 15.0, 0.1, 0.15


def make_copies(
    real: Sequence[Image], wanted: Mapping[Plane, int], load: Callable[[Image], Picture], config: MixConfig
) -> Iterator[Picture]:
    """Generate the wanted number of copies of real training pictures, each as often as any other of its plane.

    Raises:
        ImageSetError: if a plane has no real image.
    """
    for plane, count in wanted.items():
        those = [row for row in real if row.plane == plane]
        if count and not those:
            raise ImageSetError(f"{plane}: {count} copies are wanted and there is no real image of it")
        ranked = sorted(those, key=lambda row: derive_seed("mix", config.seed, row.image_id))
        for number in range(count):
            row = ranked[number % len(ranked)]
            name, pixels = f"{row.image_id}_copy{number // len(ranked) + 1}", load(row).pixels
            if config.arm == "augmented":
                pixels = augment(pixels, derive_seed("augmented", config.seed, name))
            yield Picture(row.changed(image_id=name), pixels)


def augment(pixels: UInt8[np.ndarray, "h w"], seed: int) -> UInt8[np.ndarray, "h w"]:
    """Flip a picture or not, rotate it by up to 15 degrees, scale it by up to 10 %, brighten it by up to 15 %."""
    random = np.random.default_rng(seed)
    height, width = pixels.shape
    turned = pixels[:, ::-1] if random.random() < 0.5 else pixels
    angle, scale = random.uniform(-MAX_TURN_DEG, MAX_TURN_DEG), 1 + random.uniform(-MAX_SCALE, MAX_SCALE)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    moved = cv2.warpAffine(np.ascontiguousarray(turned), matrix, (width, height), flags=cv2.INTER_LINEAR)
    gain = 1 + random.uniform(-MAX_GAIN, MAX_GAIN)
    return np.asarray(np.clip(np.round(moved * gain), 0, 255), dtype=np.uint8)
