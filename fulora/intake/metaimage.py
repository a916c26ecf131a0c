"""MetaImage files (`.mha`) of one 8-bit picture whose pixels are in the file itself."""

import math
import re
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora.intake.decode import MAX_PIXELS
from fulora.intake.raw import SourceError

MAX_HEADER = 10_000
HEADER = re.compile(rb"\A(?:[ \t]*\w+[ \t]*=[^\n]*\n)*?[ \t]*ElementDataFile[ \t]*=([^\n]*)\n")


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
