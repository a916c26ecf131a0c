"""Which reader a configured source has, and the curated pictures it gives."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from fulora.data.labels import Split
from fulora.data.manifest import Image, Picture
from fulora.data.splits import split_patients
from fulora.intake.config import (
    AfricanPlanesConfig,
    AnySource,
    CurateConfig,
    Hc18Config,
    LoraPlanesConfig,
    PhantomsConfig,
    PsfhsConfig,
)
from fulora.intake.raw import RawImage, SourceError
from fulora.intake.sources.african_planes import read_african_planes
from fulora.intake.sources.hc18 import read_hc18
from fulora.intake.sources.lora_planes import read_lora_planes
from fulora.intake.sources.phantoms import SITES, draw
from fulora.intake.sources.psfhs import read_psfhs


def read_source(source: AnySource, folder: Path | None, size_px: int) -> Iterator[RawImage]:
    """The raw images of one source.

    Args:
        folder: where it stands on disk; None for phantoms.
        size_px: width and height that phantoms are drawn at.
    """
    if isinstance(source, PhantomsConfig):
        return _phantoms(source, size_px)
    if folder is None:
        raise SourceError(f"source {source.kind}: needs a folder under data_root")
    match source:
        case LoraPlanesConfig():
            images = read_lora_planes(folder)
        case AfricanPlanesConfig():
            images = read_african_planes(folder)
        case Hc18Config():
            images = read_hc18(folder)
        case PsfhsConfig():
            images = read_psfhs(folder, source.block)
    return islice(images, source.limit)


def _phantoms(source: PhantomsConfig, size_px: int) -> Iterator[RawImage]:
    for site in source.sites:
        for plane in source.planes:
            first = source.first_patient * source.images_per_patient
            numbers = range(first, first + source.per_plane)
            drawn = draw(plane, numbers, site=site, size_px=size_px, seed=source.seed)
            for place, number in enumerate(numbers):
                mask = drawn.masks[place] if drawn.masks[place].any() else None
                yield RawImage(
                    name=f"{site}_{plane}_{number:05d}",
                    plane=plane,
                    source="phantoms",
                    site=site,
                    patient=str(number // source.images_per_patient),
                    load=partial(_drawn, drawn.images[place], mask),
                    machine=SITES[site].machine,
                    pixel_size_mm=float(drawn.pixel_size_mm[place]),
                    hc_mm=_known(drawn.hc_mm[place]),
                    aop_deg=_known(drawn.aop_deg[place]),
                )


def _drawn(pixels: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    return pixels, mask


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def curated(config: CurateConfig, folders: Sequence[Path | None]) -> Iterator[Picture]:
    """The pictures of all sources, at one size, each in its split.

    Args:
        folders: one a source, None for phantoms.
    """
    for source, folder in zip(config.sources, folders, strict=True):
        images = list(read_source(source, folder, config.image_size_px))
        keys = [f"{image.source}/{image.site}/{image.patient}" for image in images]
        splits = split_patients(keys, source.shares(), config.split_seed)
        for image, key in zip(images, keys, strict=True):
            yield _picture(image, splits[key], config)


def _picture(image: RawImage, split: Split, config: CurateConfig) -> Picture:
    pixels, mask = image.load()
    fitted, scale = fit(pixels, config.image_size_px, config.fit, cv2.INTER_AREA)
    row = Image(
        file_name="",
        image_id=f"{image.source}_{image.name}",
        plane=image.plane,
        split=split,
        origin="real",
        source=image.source,
        site=image.site,
        patient=image.patient,
        machine=image.machine,
        pixel_size_mm=None if image.pixel_size_mm is None else image.pixel_size_mm / scale,
        hc_mm=image.hc_mm,
        aop_deg=image.aop_deg,
        width=config.image_size_px,
        height=config.image_size_px,
        sha256="",
    )
    return Picture(
        row, fitted, None if mask is None else fit(mask, config.image_size_px, config.fit, cv2.INTER_NEAREST)[0]
    )


def fit(
    pixels: UInt8[np.ndarray, "h w"], size_px: int, how: str, interpolation: int
) -> tuple[UInt8[np.ndarray, "size_px size_px"], float]:
    """A picture on a square of `size_px`, without distortion, and its scale (new pixels per old pixel).

    Args:
        how: `letterbox` keeps all of it, centred on black; `crop` keeps its central square.
    """
    height, width = pixels.shape
    if (height, width) == (size_px, size_px):
        return pixels, 1.0
    if how == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square, longest = pixels[top : top + side, left : left + side], side
    else:
        longest = max(height, width)
        square = np.zeros((longest, longest), np.uint8)
        top, left = (longest - height) // 2, (longest - width) // 2
        square[top : top + height, left : left + width] = pixels
    return cv2.resize(square, (size_px, size_px), interpolation=interpolation), size_px / longest
