"""The frames of a DICOM file: where each lies, and how many there are, as the pixel data say.

The header is not believed where the data say otherwise. Uncompressed pixel data must have the length that the header
gives, to the byte: a length that would hold other frames, samples or bits cannot tell which of them it holds.
Compressed frames begin with marks of their own, and are counted by them; the header's number must be the same, or
missing.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import UID, RLELossless

from fulora.intake.dicom.codestream import JP2_START, JPEG_2000_START, JPEG_START
from fulora.intake.dicom.header import BROKEN, UNDEFINED, PixelElement, pixel_element, read_header
from fulora.intake.formats.decode import MAX_PIXELS
from fulora.intake.raw_image import SourceError

MAX_FRAMES = 10_000
NEEDED = ("PhotometricInterpretation", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PixelRepresentation")
SAMPLES = {"MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1}
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
"""Photometric interpretations of three samples a pixel that are supported."""

ITEM, END = 0xFFFEE000, 0xFFFEE0DD
Span = tuple[int, int]
"""Offset and length of a piece of a file, in bytes."""


@dataclass(frozen=True)
class DicomFrames:
    """The frames of a file or of a data set in memory, in order; each is some pieces of `source`, put together."""

    header: Dataset
    source: Path | bytes
    pieces: Sequence[tuple[Span, ...]]

    def __len__(self) -> int:
        return len(self.pieces)

    def read(self, index: int) -> bytes:
        """The bytes of one frame, compressed as they are stored.

        Raises:
            OSError: the file is gone.
        """
        with _opened(self.source) as file:
            return b"".join(_read(file, *span) for span in self.pieces[index])


def locate_frames(source: Path | Dataset) -> DicomFrames:
    """Find and count the frames.

    Raises:
        SourceError: pixel data that are missing, cut short, floats, or of another length or number of frames than the
            header says; attributes that are missing or contradict each other; more than 10,000 frames or 64 million
            pixels; or a transfer syntax without single pictures, or without an installed plugin.
    """
    header, element = read_header(source) if isinstance(source, Path) else (source, pixel_element(source))
    try:
        if element is None:
            raise SourceError("no pixels: not a picture, or cut short")
        return _frames(header, element)
    except BROKEN as error:
        known = isinstance(error, SourceError)
        text = str(error) if known else f"cannot be read as DICOM ({error}); replace or remove it"
        raise SourceError(f"{source}: {text}" if isinstance(source, Path) else text) from error


def _frames(header: Dataset, element: PixelElement) -> DicomFrames:
    _check_header(header, element)
    syntax = header.file_meta.TransferSyntaxUID
    _check_syntax(syntax)
    stated = _stated_frames(header)
    with _opened(element.source) as file:
        size = file.seek(0, io.SEEK_END)
        if syntax.is_encapsulated:
            pieces = _compressed(file, size, element, stated, header)
        else:
            pieces = _uncompressed(size, element, stated, header)
        if not 1 <= len(pieces) <= MAX_FRAMES:
            raise SourceError(f"{len(pieces)} frames; expected 1 to {MAX_FRAMES:,}")
        if not syntax.is_little_endian and header.BitsAllocated == 8 and element.vr == "OW":
            return _swapped(file, header, element, pieces)
    return DicomFrames(header, element.source, pieces)


def _check_syntax(syntax: UID) -> None:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise SourceError(f"transfer syntax {syntax.name} ({syntax}) is not a picture's; export it as JPEG") from error
    if not decoder.is_available:
        raise SourceError(
            f'transfer syntax {syntax.name} ({syntax}) has no plugin here: pip install "fulora[dicom]"; '
            f"if that does not bring one, one of: {'; '.join(decoder.missing_dependencies)}"
        )


def _check_header(header: Dataset, element: PixelElement) -> None:
    if header.file_meta.get("TransferSyntaxUID") is None:
        raise SourceError("no TransferSyntaxUID; without it the pixels cannot be told")
    if element.keyword != "PixelData" or header.get("BitsStored") is None:
        raise SourceError("no BitsStored (float pixels?): the range of its values is unknown; save it as integers")
    for keyword in NEEDED:
        if header.get(keyword) is None:
            raise SourceError(f"no {keyword}; without it the pixels cannot be told")
    interpretation, samples = str(header.PhotometricInterpretation), int(header.SamplesPerPixel)
    expected = SAMPLES.get(interpretation, 3 if interpretation in COLOUR else samples)
    if samples != expected:
        raise SourceError(f"photometric interpretation {interpretation}, but SamplesPerPixel is {samples}")
    if int(header.BitsAllocated) not in (8, 16, 32):
        raise SourceError(f"BitsAllocated is {header.BitsAllocated}; expected 8, 16 or 32")
    rows, columns = int(header.Rows), int(header.Columns)
    if rows * columns > MAX_PIXELS:
        raise SourceError(f"{columns} x {rows} is more than {MAX_PIXELS:,} pixels")
    if rows * columns == 0:
        raise SourceError(f"{columns} x {rows} pixels; no picture")


def _stated_frames(header: Dataset) -> int | None:
    """NumberOfFrames; None where it says nothing: missing, empty or 0."""
    stated = int(header.get("NumberOfFrames") or 0)
    if not 0 <= stated <= MAX_FRAMES:
        raise SourceError(f"NumberOfFrames is {stated}; expected 1 to {MAX_FRAMES:,}")
    return stated or None


# --- uncompressed


def _uncompressed(size: int, element: PixelElement, stated: int | None, header: Dataset) -> list[tuple[Span, ...]]:
    if element.length == UNDEFINED:
        raise SourceError("its transfer syntax is uncompressed, but its pixel data are split into compressed frames")
    interpretation = str(header.PhotometricInterpretation)
    halved = interpretation == "YBR_FULL_422"
    if halved and (int(header.Columns) % 2 or header.get("PlanarConfiguration")):
        raise SourceError("YBR_FULL_422 needs an even number of columns, and PlanarConfiguration 0")
    pixels = int(header.Rows) * int(header.Columns) * int(header.SamplesPerPixel)
    frame = pixels * int(header.BitsAllocated) // 8 * (2 if halved else 3) // 3
    frames = stated or 1
    expected = frame * frames
    there = min(element.length, max(size - element.offset, 0))
    if there < element.length:
        raise SourceError(f"cut short: {there:,} bytes of {element.length:,} bytes of pixel data are there")
    if there != expected + expected % 2 and there != expected:
        raise SourceError(_lengths(there, expected, frame, stated, header))
    return [((element.offset + index * frame, frame),) for index in range(frames)]


def _lengths(there: int, expected: int, frame: int, stated: int | None, header: Dataset) -> str:
    """What is wrong, with both lengths, and what may be the reason."""
    number = f"NumberOfFrames {stated}" if stated else "no NumberOfFrames, so 1 frame"
    text = (
        f"{there:,} bytes of pixel data, but the header says {expected:,} ({number}, {header.Columns} x {header.Rows} "
        f"pixels, SamplesPerPixel {header.SamplesPerPixel}, BitsAllocated {header.BitsAllocated}, "
        f"{header.PhotometricInterpretation})"
    )
    if header.PhotometricInterpretation == "YBR_FULL_422" and there == expected // 2 * 3:
        return f"{text}: as for whole samples; correct PhotometricInterpretation to YBR_FULL or RGB, whichever they are"
    if there > expected and there - there % frame in (there, there - 1):
        return f"{text}: as for {there // frame} frames, or for more samples or bits; correct the wrong attribute"
    return f"{text}; replace it, or correct the wrong attribute"


def _swapped(file: BinaryIO, header: Dataset, element: PixelElement, pieces: list[tuple[Span, ...]]) -> DicomFrames:
    """Big-endian words of two 8-bit samples each, put in order."""
    data = _read(file, element.offset, element.length)
    words = np.frombuffer(data, dtype="<u2").byteswap().tobytes()
    return DicomFrames(header, words, [((offset - element.offset, length),) for ((offset, length),) in pieces])


# --- compressed


def _compressed(
    file: BinaryIO, size: int, element: PixelElement, stated: int | None, header: Dataset
) -> list[tuple[Span, ...]]:
    items = _items(file, size, element)
    if not items:
        raise SourceError("its pixel data are empty")
    (first, length), *fragments = items
    table = struct.unpack(f"<{length // 4}L", _read(file, first, length // 4 * 4))
    listed = len(table) or len(header.get("ExtendedOffsetTable") or b"") // 8 or None
    pieces: list[tuple[Span, ...]] = []
    syntax = header.file_meta.TransferSyntaxUID
    for span in fragments:
        if _begins(_read(file, span[0], min(12, span[1])), syntax):
            pieces.append((span,))
        elif not pieces:
            raise SourceError(f"its first frame does not begin as {syntax.name} does; replace or remove it")
        else:
            pieces[-1] = (*pieces[-1], span)
    if len(pieces) != (stated or listed or len(pieces)):
        who = "NumberOfFrames says" if stated else "its offset table lists"
        raise SourceError(f"{len(pieces)} compressed frames, but {who} {stated or listed}; correct the wrong one")
    if not pieces:
        raise SourceError("its pixel data are empty")
    return pieces


def _items(file: BinaryIO, size: int, element: PixelElement) -> list[Span]:
    """Where the items of compressed pixel data lie: the offset table, then the fragments of the frames."""
    found, at = [], element.offset
    whole = element.length == UNDEFINED
    end = size if whole else min(size, element.offset + element.length)
    while whole or at < end:
        head = _read(file, at, 8)
        if whole and not head and isinstance(element.source, bytes):
            break  # read by pydicom, which keeps no delimiter
        if len(head) < 8:
            raise SourceError("cut short: its compressed pixel data have no end; replace or remove it")
        group, number, length = struct.unpack("<HHL", head)
        tag = group << 16 | number
        if tag == END:
            break
        if tag != ITEM:
            raise SourceError("its transfer syntax is compressed, but its pixel data are not split into frames")
        if at + 8 + length > end:
            raise SourceError(f"cut short: {end - at - 8:,} bytes of a fragment of {length:,} bytes are there")
        found.append((at + 8, length))
        at += 8 + length
    return found


def _begins(start: bytes, syntax: UID) -> bool:
    """Whether a fragment begins a frame: RLE has one each; others begin with a mark that does not occur within."""
    return syntax == RLELossless or start.startswith((JPEG_START, JPEG_2000_START, JP2_START))


def _opened(source: Path | bytes) -> BinaryIO:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)
