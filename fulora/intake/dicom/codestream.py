"""Size, depth and colour space of a compressed frame, from its own header.

A decoder follows the codestream, whatever the DICOM attributes are (PS3.5 8.2).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fulora.intake.raw_image import SourceError

Colour = Literal["RGB", "YBR"]

JPEG_START = b"\xff\xd8"
JPEG_2000_START = b"\xff\x4f\xff\x51"
JP2_START = b"\x00\x00\x00\x0cjP  "

STANDALONE = (0x01, *range(0xD0, 0xD9))
"""Markers without a length: TEM, RST0 to RST7, SOI."""
FRAME_HEADERS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
"""SOF0 to SOF15, and JPEG-LS's SOF55."""
JPEG_LS = 0xF7
LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
SYCC = 18


@dataclass(frozen=True)
class Codestream:
    """The header of a JPEG, JPEG-LS or JPEG 2000 frame.

    Attributes:
        colour: of the decoded samples; None if the codestream does not define it.
    """

    rows: int
    columns: int
    samples: int
    bits: int
    colour: Colour | None


def read_codestream(data: bytes) -> Codestream:
    """Read the header of a compressed frame.

    Raises:
        SourceError: if the header is missing, truncated, contradictory about the colour space, or of subsampled or sYCC
            JPEG 2000.
    """
    try:
        if data.startswith(JPEG_START):
            return _jpeg(data)
        if data.startswith((JPEG_2000_START, JP2_START)):
            return _jpeg_2000(data)
    except (IndexError, struct.error) as error:
        raise SourceError("its compressed data end within their header; replace or remove it") from error
    raise SourceError("its compressed data do not begin as JPEG, JPEG-LS or JPEG 2000 do; replace or remove it")


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while True:
        if data[at] != 0xFF:
            raise SourceError("its JPEG header is damaged; replace or remove it")
        marker, at = data[at + 1], at + 1
        if marker == 0xFF:  # a fill byte
            continue
        at += 1
        if marker in STANDALONE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        yield marker, data[at + 2 : at + length]
        if marker in FRAME_HEADERS:
            return
        at += length


def _jpeg(data: bytes) -> Codestream:
    marks: dict[str, Colour] = {}
    for marker, content in _segments(data):
        if marker == 0xE0 and content.startswith(b"JFIF\0"):
            marks["JFIF"] = "YBR"
        if marker == 0xEE and content.startswith(b"Adobe") and len(content) >= 12:
            marks[f"Adobe's marker (transform {content[11]})"] = "YBR" if content[11] else "RGB"
    bits, rows, columns, samples = struct.unpack_from(">BHHB", content)
    numbers = tuple(content[6 + 3 * index] for index in range(samples))
    if numbers in (tuple(b"RGB"), tuple(b"rgb")):
        marks["component ids R, G, B"] = "RGB"
    if len(set(marks.values())) > 1 and samples == 3:
        text = ", ".join(f"{mark} means {colour}" for mark, colour in marks.items())
        raise SourceError(f"its JPEG's marks of the colour space contradict each other: {text}; export it again")
    colour = next(iter(marks.values()), None)
    if colour is None and numbers == (1, 2, 3) and marker not in (JPEG_LS, *LOSSLESS):
        colour = "YBR"  # as every JPEG decoder assumes
    return Codestream(rows, columns, samples, bits, colour if samples == 3 else None)


def _jpeg_2000(data: bytes) -> Codestream:
    start = data.index(JPEG_2000_START) if JPEG_2000_START in data else len(data)
    box = data[:start].find(b"colr")
    if box >= 0 and data[box + 4] == 1 and struct.unpack_from(">L", data, box + 7) == (SYCC,):
        raise SourceError("its JPEG 2000 is sYCC, which is not supported; export it as RGB")
    across, down, left, top = struct.unpack_from(">4L", data, start + 8)
    (samples,) = struct.unpack_from(">H", data, start + 40)
    parts = [struct.unpack_from(">3B", data, start + 42 + 3 * index) for index in range(samples)]
    if any(part != parts[0] or part[1:] != (1, 1) for part in parts):
        raise SourceError(f"its JPEG 2000 has components of different depths or sizes ({parts}); export it again")
    transformed = samples == 3 and _component_transform(data, start)
    return Codestream(down - top, across - left, samples, (parts[0][0] & 0x7F) + 1, "RGB" if transformed else None)


def _component_transform(data: bytes, start: int) -> bool:
    """Return whether the coding style (COD) has a component transform, which decoders invert to RGB."""
    at = start + 2
    while True:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFF52:
            return bool(data[at + 8])
        if marker in (0xFF90, 0xFF93):
            raise SourceError("its JPEG 2000 has no coding style (COD); replace or remove it")
        at += 2 + length
