"""Facts about every image of a source: each is decoded once, on all cores, and its pixels are dropped."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil
from PIL import UnidentifiedImageError
from scipy import ndimage

from fulora.biometry.ellipse import MeasurementError, measure_head
from fulora.data.pictures.near_duplicates import PictureSignature, compute_signature
from fulora.data.pictures.pixels import pixel_digest
from fulora.engine import threaded
from fulora.intake.raw_image import RawImage, SourceError


@dataclass(frozen=True)
class MaskFacts:
    """A mask's class numbers without background, the number of separate parts of each, and its HC in mm."""

    classes: tuple[int, ...]
    parts: tuple[int, ...]
    hc_mm: float | None = None


@dataclass(frozen=True)
class ImageFacts:
    """Facts about one image.

    Attributes:
        error: why it is unusable; the other facts are then empty.
        mode: pixel mode of the file in Pillow, or the file's ending if Pillow does not read it.
        digest: of the decoded pixels, independent of the encoding.
    """

    image: RawImage
    error: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    digest: str = ""
    likeness: PictureSignature | None = None
    lowest: int = 0
    highest: int = 0
    mask: MaskFacts | None = None

    @property
    def patient(self) -> str:
        """`source/site/patient`; "" for a synthetic image."""
        return self.image.patient_key


def read_image_facts(images: Iterable[RawImage]) -> Iterator[ImageFacts]:
    """Read the facts of every image, in order."""
    return threaded(_read_facts, images)


def _read_facts(image: RawImage) -> ImageFacts:
    try:
        pixels, mask = image.load()
    except SourceError as error:
        return ImageFacts(image, error=str(error))
    height, width = pixels.shape
    return ImageFacts(
        image,
        mode=_mode(image.path),
        width=width,
        height=height,
        digest=pixel_digest(pixels),
        likeness=compute_signature(pixels),
        lowest=int(pixels.min()),
        highest=int(pixels.max()),
        mask=None if mask is None else _mask_facts(image, mask),
    )


def _mode(path: Path | None) -> str:
    if path is None:
        return "drawn"
    try:
        with Pil.open(path) as image:
            return image.mode
    except (UnidentifiedImageError, OSError, ValueError):
        return path.suffix.lstrip(".").lower() or "no ending"


def _mask_facts(image: RawImage, mask: UInt8[np.ndarray, "h w"]) -> MaskFacts:
    classes = tuple(int(value) for value in np.unique(mask) if value)
    parts = tuple(ndimage.label(mask == value, structure=np.ones((3, 3)))[1] for value in classes)
    hc_mm = None
    if image.hc_mm is not None and image.pixel_size_mm is not None:
        try:
            hc_mm = measure_head(mask == 1, image.pixel_size_mm).hc_mm
        except MeasurementError:
            hc_mm = None
    return MaskFacts(classes, parts, hc_mm)
