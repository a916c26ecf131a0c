"""NIfTI-1 files (nifti.nimh.nih.gov/nifti-1) of one picture of whole numbers, `.nii` or `.nii.gz`.

Pixels in another file are not supported.
"""

import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from fulora.intake.formats.decode import MAX_PIXELS
from fulora.intake.formats.metaimage import mask_numbers
from fulora.intake.raw_image import SourceError

HEADER = 348
MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Lengths of the units by their codes: metres, millimetres, micrometres."""

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


def read_nifti(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Read one picture of whole numbers from 0 to 255, (height, width): the first axis of the file is the columns.

    Axes of length 1 are dropped. Intensity scaling is applied; orientation is not.

    Raises:
        SourceError: if it is unreadable, its pixels are in another file, or it has more than two axes or other values.
    """
    content, order = _read_file(path)
    axes, *lengths = struct.unpack_from(order + "8h", content, 40)
    shape = [length for length in lengths[: max(0, min(axes, 7))] if length != 1]
    kind = TYPES.get(struct.unpack_from(order + "h", content, 70)[0])
    if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] > MAX_PIXELS or kind is None:
        raise SourceError(f"{path}: axes {shape} of type {kind}; expected one flat picture of plain numbers")
    start, slope, intercept = struct.unpack_from(order + "3f", content, 108)
    size = shape[0] * shape[1] * np.dtype(kind).itemsize
    if not HEADER <= start <= len(content) - size:
        raise SourceError(f"{path}: cannot be read as NIfTI ({len(content)} bytes for {shape} pixels); replace it")
    stored = np.frombuffer(content, np.dtype(kind).newbyteorder(order), shape[0] * shape[1], int(start))
    values = stored.reshape(shape[::-1]).astype(np.float64)
    if np.isfinite(slope) and slope != 0:
        values = values * slope + intercept
    return mask_numbers(values, path)


def nifti_spacing(path: Path) -> tuple[float, ...]:
    """Return the distance of pixels in x and y, mm, in the header; empty if there is none.

    Raises:
        SourceError: if the file is unreadable, or has no NIfTI-1 header.
    """
    content, order = _read_file(path)
    axes, *lengths = struct.unpack_from(order + "8h", content, 40)
    steps = struct.unpack_from(order + "8f", content, 76)[1:]
    unit = MILLIMETRES.get(content[123] & 7, 1.0)
    longer = [step for step, length in zip(steps, lengths[: max(0, min(axes, 7))], strict=False) if length != 1]
    return tuple(abs(step) * unit for step in longer[:2])


def _read_file(path: Path) -> tuple[bytes, Literal["<", ">"]]:
    try:
        content = _decompressed_content(path)
    except (OSError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read as NIfTI ({error}); replace or remove it") from error
    order: Literal["<", ">"] = "<" if content[:4] == struct.pack("<i", HEADER) else ">"
    if len(content) < HEADER or content[:4] != struct.pack(order + "i", HEADER) or content[344:347] != b"n+1":
        raise SourceError(f"{path}: cannot be read as NIfTI (no NIfTI-1 header with its pixels in one file)")
    return content, order


def _decompressed_content(path: Path) -> bytes:
    limit = 8 * MAX_PIXELS + 2 * HEADER
    with path.open("rb") as file:
        content = file.read(limit)
    if path.suffix.lower() != ".gz":
        return content
    unpacker = zlib.decompressobj(wbits=31)
    unpacked = unpacker.decompress(content, limit)
    if not unpacker.eof:
        raise zlib.error("incomplete or too large")
    return unpacked
