"""Intrapartum views of PSFHS (Sci Data 2024, doi 10.1038/s41597-024-03266-4): 1 pubic symphysis, 2 fetal head.

`image_mha/NNNNN.mha` (3x256x256, channels equal) and `label_mha/NNNNN.mha`; FH-PS-AOP has the same layout, and either
may hold PNGs instead. There are no patient numbers, and neighbouring files are frames of one video, so a contiguous
block of files stands in for a patient. No pixel size: the headers hold a placeholder.
"""

import math
import re
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora.intake.decode import MAX_PIXELS, read_gray
from fulora.intake.folders import listed, pictures_in
from fulora.intake.masks import checked_mask, read_classes
from fulora.intake.raw import Complain, RawImage, SourceError, refuse

ENDINGS = (".mha", ".png")
LARGEST = 2
MAX_HEADER = 10_000
HEADER = re.compile(rb"\A(?:[ \t]*\w+[ \t]*=[^\n]*\n)*?[ \t]*ElementDataFile[ \t]*=([^\n]*)\n")


def read_psfhs(folder: Path, block: int, complain: Complain = refuse) -> Iterator[RawImage]:
    """Every view that has a label; those without, or with a name that is no number, are told to `complain`.

    So are labels without a view.

    Args:
        block: how many neighbouring files count as one patient.

    Raises:
        SourceError: no images.
    """
    images, labels = folder / "image_mha", folder / "label_mha"
    files = pictures_in(images, complain, ENDINGS) if images.is_dir() else []
    if not files:
        raise SourceError(f"{images}: no .mha images; expected PSFHS (Zenodo 10969427)")
    for path in files:
        label = labels / path.name
        try:
            if not label.is_file():
                raise SourceError(f"{label} is not there, but the image {path.name} is")
            if not re.fullmatch("[0-9]{1,9}", path.stem):
                raise SourceError(f"{path}: expected a number as its name; neighbours are told by it")
            label = listed(labels, path.name)
        except SourceError as error:
            complain(str(error))
            continue
        patient, load = str(int(path.stem) // block), partial(_load, path, label)
        yield RawImage(path.stem, "intrapartum", "psfhs", "guangzhou", patient, load, path=path, mask_path=label)
    known = {path.name for path in files}
    for label in pictures_in(labels, complain, ENDINGS) if labels.is_dir() else []:
        if label.name not in known:
            complain(f"{label}: a label without an image; {images.name}/{label.name} is not there")


def _load(image: Path, label: Path) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    if image.suffix.lower() == ".png":
        pixels, mask = read_gray(image), read_classes(label)
    else:
        pixels, mask = one_channel(read_mha(image), image), one_channel(read_mha(label), label)
    return pixels, checked_mask(pixels, mask, label, LARGEST)


def one_channel(pixels: UInt8[np.ndarray, "..."], path: Path) -> UInt8[np.ndarray, "h w"]:
    """The gray picture (height, width) of a MetaImage whose channels, if it has several, are equal.

    Raises:
        SourceError: channels that differ, or another number of axes.
    """
    channels = pixels if pixels.ndim == 3 else pixels[None]
    if channels.ndim != 3 or not (channels == channels[0]).all():
        raise SourceError(f"{path}: expected one gray picture, found {pixels.shape} with channels that differ")
    return np.asarray(channels[0])


def read_mha(path: Path) -> UInt8[np.ndarray, "..."]:
    """An 8-bit MetaImage whose pixels are in the file itself, (height, width) or (channels, height, width).

    Written out here: ITK reads pixels from any other file that the header names, and damaged ones without an error.

    Raises:
        SourceError: unreadable or truncated file, pixels in another file, or another pixel type.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PIXELS + 2 * MAX_HEADER)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read as an image ({error.strerror}); replace or remove it") from error
    match = HEADER.match(content[:MAX_HEADER])
    if match is None:
        raise SourceError(f"{path}: cannot be read as an image (no MetaImage header); replace or remove it")
    lines = (line.split("=", 1) for line in match[0].decode("latin-1").splitlines())
    field = {key.strip(): value.strip() for key, value in lines}
    if field["ElementDataFile"].upper() != "LOCAL":
        raise SourceError(f"{path}: its pixels are in {field['ElementDataFile']!r}; only its own (LOCAL) are read")
    if field.get("ElementType") != "MET_UCHAR" or field.get("BinaryData", "True").lower() != "true":
        raise SourceError(f"{path}: expected 8-bit pixels (MET_UCHAR), found {field.get('ElementType')}")
    shape = _shape(path, field)
    stream = content[match.end() :]
    pixels = _unpacked(path, stream, math.prod(shape)) if field.get("CompressedData", "").lower() == "true" else stream
    if len(pixels) != math.prod(shape):
        raise SourceError(f"{path}: cannot be read as an image ({len(pixels)} bytes for {shape} pixels); replace it")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _shape(path: Path, field: dict[str, str]) -> tuple[int, ...]:
    sides, channels = field.get("DimSize", ""), field.get("ElementNumberOfChannels", "1")
    if not re.fullmatch(r"[1-9]\d{0,8}( [1-9]\d{0,8}){1,2}", sides) or channels != "1":
        raise SourceError(f"{path}: cannot be read as an image (DimSize {sides}, {channels} channels a pixel)")
    shape = tuple(int(side) for side in reversed(sides.split()))
    if math.prod(shape) > MAX_PIXELS:
        raise SourceError(f"{path}: DimSize {sides} is more than {MAX_PIXELS:,} pixels; that is no ultrasound frame")
    return shape


def _unpacked(path: Path, stream: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        pixels = unpacker.decompress(stream, size + 1)
    except zlib.error as error:
        raise SourceError(f"{path}: cannot be read as an image ({error}); replace or remove it") from error
    return pixels if unpacker.eof else b""
