"""MetaImage files (`.mha`) with their pixels in the same file: one 8-bit picture, or a mask of whole numbers."""

import math
import re
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8

from fulora.intake.formats.decode import MAX_PIXELS
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
    """Return the gray picture (height, width) of a MetaImage whose channels, if there are several, are equal.

    Raises:
        SourceError: if channels differ, or the number of axes is wrong.
    """
    channels = pixels if pixels.ndim == 3 else pixels[None]
    if channels.ndim != 3 or not (channels == channels[0]).all():
        raise SourceError(f"{path}: expected one gray picture, not {pixels.shape} with channels that differ")
    return np.asarray(channels[0])


def read_mha(path: Path) -> UInt8[np.ndarray, "..."]:
    """Read an 8-bit MetaImage with its pixels in the same file, (height, width) or (channels, height, width).

    ITK is not used: it reads pixels from any file that the header names, and damaged files without an error.

    Raises:
        SourceError: if it is unreadable or truncated, its pixels are in another file, or of another type.
    """
    return np.asarray(_read_pixels(path, BYTES, "8-bit pixels (MET_UCHAR)"), np.uint8)


def read_mha_mask(path: Path) -> UInt8[np.ndarray, "..."]:
    """Read a mask as `read_mha`, of any type of numbers, whose values are whole and from 0 to 255.

    Raises:
        SourceError: as `read_mha`, or if there are other values.
    """
    return mask_numbers(_read_pixels(path, NUMBERS, f"plain numbers ({', '.join(NUMBERS)})"), path)


def mask_numbers(values: Shaped[np.ndarray, "..."], path: Path) -> UInt8[np.ndarray, "..."]:
    """Convert values of any type of numbers to 8 bit.

    Raises:
        SourceError: if there are fractions, or values below 0 or above 255.
    """
    if not ((values >= 0) & (values <= 255) & (values == np.rint(values))).all():
        raise SourceError(
            f"{path}: values from {values.min():g} to {values.max():g}; a mask has class numbers, 0 to 255"
        )
    return values.astype(np.uint8)


def mha_spacing(path: Path) -> tuple[float, ...]:
    """Return the distance of pixels in x and y, mm, in the header; empty if there is none.

    Raises:
        SourceError: if the file is unreadable, or has no MetaImage header.
    """
    field = _header(path)[0]
    numbers = field.get("ElementSpacing", field.get("ElementSize", "")).split()
    try:
        return tuple(float(number) for number in numbers[:2])
    except ValueError as error:
        raise SourceError(f"{path}: cannot be read as an image (ElementSpacing {' '.join(numbers)})") from error


def _header(path: Path) -> tuple[dict[str, str], bytes]:
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


def _read_pixels(path: Path, types: dict[str, str], expected: str) -> Shaped[np.ndarray, "..."]:
    field, stream = _header(path)
    if field["ElementDataFile"].upper() != "LOCAL":
        raise SourceError(
            f"{path}: its pixels are in {field['ElementDataFile']!r}; they must be LOCAL, in the file itself"
        )
    kind = types.get(field.get("ElementType", ""))
    if kind is None or field.get("BinaryData", "True").lower() != "true":
        raise SourceError(f"{path}: expected {expected}, not {field.get('ElementType')}; save it as 8 bit or as PNG")
    shape = _shape(path, field)
    size = math.prod(shape) * np.dtype(kind).itemsize
    pixels = _decompress(path, stream, size) if field.get("CompressedData", "").lower() == "true" else stream
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
        raise SourceError(f"{path}: DimSize {sides} is more than {MAX_PIXELS:,} pixels, too large for ultrasound")
    return shape


def _decompress(path: Path, stream: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        pixels = unpacker.decompress(stream, size + 1)
    except zlib.error as error:
        raise SourceError(f"{path}: cannot be read as an image ({error}); replace or remove it") from error
    return pixels if unpacker.eof else b""
