"""MetaImage files (`.mha`) whose pixels are in the file itself: one 8-bit picture, or a mask of whole numbers."""

import math
import re
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8

from fulora.intake.formats.decode import MAX_PIXELS, read_gray
from fulora.intake.raw_image import SourceError

MAX_HEADER = 10_000
BYTES = {"MET_UCHAR": "u1"}
NUMBERS = BYTES | {
    "MET_CHAR": "i1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
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


def read_picture(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A picture of any kind as (height, width) gray, 0 to 255: as `read_gray`, or the one channel of a MetaImage.

    Raises:
        SourceError: as `read_gray`, `read_mha` or `one_channel`.
    """
    return one_channel(read_mha(path), path) if path.suffix.lower() == ".mha" else read_gray(path)


def read_mha(path: Path) -> UInt8[np.ndarray, "..."]:
    """An 8-bit MetaImage whose pixels are in the file itself, (height, width) or (channels, height, width).

    Written out here: ITK reads pixels from any other file that the header names, and damaged ones without an error.

    Raises:
        SourceError: unreadable or truncated file, pixels in another file, or another pixel type.
    """
    return np.asarray(_stored(path, BYTES, "8-bit pixels (MET_UCHAR)"), np.uint8)


def read_mha_mask(path: Path) -> UInt8[np.ndarray, "..."]:
    """`read_mha` of a mask: of any type of numbers, as ITK writes them, whose values are whole and from 0 to 255.

    Raises:
        SourceError: as `read_mha`, or other values.
    """
    return mask_numbers(_stored(path, NUMBERS, f"plain numbers ({', '.join(NUMBERS)})"), path)


def mask_numbers(values: Shaped[np.ndarray, "..."], path: Path) -> UInt8[np.ndarray, "..."]:
    """Values of any type of numbers as 8 bit.

    Raises:
        SourceError: fractions, or values below 0 or above 255.
    """
    if not ((values >= 0) & (values <= 255) & (values == np.rint(values))).all():
        raise SourceError(
            f"{path}: values from {values.min():g} to {values.max():g}; a mask has whole numbers, 0 to 255; save it "
            "with class numbers 0, 1, 2, ..."
        )
    return values.astype(np.uint8)


def mha_spacing(path: Path) -> tuple[float, ...]:
    """The distance of pixels in x and y, mm, that the header states; empty where it states none.

    Raises:
        SourceError: unreadable file, or no MetaImage header.
    """
    field = _header(path)[0]
    numbers = field.get("ElementSpacing", field.get("ElementSize", "")).split()
    try:
        return tuple(float(number) for number in numbers[:2])
    except ValueError as error:
        raise SourceError(f"{path}: cannot be read as an image (ElementSpacing {' '.join(numbers)})") from error


def _header(path: Path) -> tuple[dict[str, str], bytes]:
    """The fields of the header, and what follows it."""
    try:
        with path.open("rb") as file:
            content = file.read(8 * MAX_PIXELS + 2 * MAX_HEADER)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read as an image ({error.strerror}); replace or remove it") from error
    match = HEADER.match(content[:MAX_HEADER])
    if match is None:
        raise SourceError(f"{path}: cannot be read as an image (no MetaImage header); replace or remove it")
    lines = (line.split("=", 1) for line in match[0].decode("latin-1").splitlines())
    return {key.strip(): value.strip() for key, value in lines}, content[match.end() :]


def _stored(path: Path, types: dict[str, str], expected: str) -> Shaped[np.ndarray, "..."]:
    field, stream = _header(path)
    if field["ElementDataFile"].upper() != "LOCAL":
        raise SourceError(f"{path}: its pixels are in {field['ElementDataFile']!r}; only its own (LOCAL) are read")
    kind = types.get(field.get("ElementType", ""))
    if kind is None or field.get("BinaryData", "True").lower() != "true":
        raise SourceError(f"{path}: expected {expected}, found {field.get('ElementType')}; save it as 8 bit or as PNG")
    shape = _shape(path, field)
    size = math.prod(shape) * np.dtype(kind).itemsize
    pixels = _unpacked(path, stream, size) if field.get("CompressedData", "").lower() == "true" else stream
    if len(pixels) != size:
        raise SourceError(f"{path}: cannot be read as an image ({len(pixels)} bytes for {shape} pixels); replace it")
    big = field.get("BinaryDataByteOrderMSB", field.get("ElementByteOrderMSB", "")).lower() == "true"
    return np.frombuffer(pixels, np.dtype(kind).newbyteorder(">" if big else "<")).reshape(shape)


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
