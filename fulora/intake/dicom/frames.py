"""The frames of a DICOM file, located and counted in its pixel data.

The header must agree with the data. Uncompressed pixel data must have exactly the length of the header: another length
would be ambiguous. Compressed frames begin with markers, and are counted by them; the header's number must be the same,
or missing.
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
"""Supported photometric interpretations with three samples per pixel."""

ITEM, END = 0xFFFEE000, 0xFFFEE0DD
Span = tuple[int, int]
"""Offset and length of a piece of a file, in bytes."""


@dataclass(frozen=True)
class DicomFrames:
    """The frames of a file or of a data set in memory, in order; each consists of pieces of `source`."""

    header: Dataset
    source: Path | bytes
    pieces: Sequence[tuple[Span, ...]]

    def __len__(self) -> int:
        return len(self.pieces)

    def read(self, index: int) -> bytes:
        """Return the stored bytes of one frame.

        Raises:
            OSError: if the file cannot be read.
        """
        with _opened(self.source) as file:
            return b"".join(_read(file, *span) for span in self.pieces[index])


def locate_frames(source: Path | Dataset) -> DicomFrames:
    """Locate and count the frames.

    Raises:
        SourceError: if pixel data are missing, truncated, floats, or of another length or number of frames than in the
            header; attributes are missing or contradictory; there are more than 10,000 frames or 64 million pixels; or
            the transfer syntax has no single images, or no installed plugin.
    """
    header, element = read_header(source) if isinstance(source, Path) else (source, pixel_element(source))
    try:
        if element is None:
            raise SourceError("no pixels: not an image, or truncated")
        return _frames(header, element)
    except BROKEN as error:
        text = (
            str(error) if isinstance(error, SourceError) else f"cannot be read as DICOM ({error}); replace or remove it"
        )
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
            return _swap_words(file, header, element, pieces)
    return DicomFrames(header, element.source, pieces)


def _check_syntax(syntax: UID) -> None:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise SourceError(f"transfer syntax {syntax.name} ({syntax}) is not for images; export it as JPEG") from error
    if not decoder.is_available:
        raise SourceError(
            f'transfer syntax {syntax.name} ({syntax}) has no plugin here: pip install "fulora[dicom]"; '
            f"if that does not install one, install one of: {'; '.join(decoder.missing_dependencies)}"
        )


def _check_header(header: Dataset, element: PixelElement) -> None:
    if header.file_meta.get("TransferSyntaxUID") is None:
        raise SourceError("no TransferSyntaxUID, which is needed to decode the pixels")
    if element.keyword != "PixelData" or header.get("BitsStored") is None:
        raise SourceError("no BitsStored (float pixels?): the range of its values is unknown; save it as integers")
    for keyword in NEEDED:
        if header.get(keyword) is None:
            raise SourceError(f"no {keyword}, which is needed to decode the pixels")
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
        raise SourceError(f"{columns} x {rows} pixels; not an image")


def _stated_frames(header: Dataset) -> int | None:
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
    available = min(element.length, max(size - element.offset, 0))
    if available < element.length:
        raise SourceError(f"truncated: {available:,} bytes of {element.length:,} bytes of pixel data are available")
    if available not in (expected, expected + expected % 2):
        raise SourceError(_describe_lengths(available, expected, frame, stated, header))
    return [((element.offset + index * frame, frame),) for index in range(frames)]


def _describe_lengths(available: int, expected: int, frame: int, stated: int | None, header: Dataset) -> str:
    number = f"NumberOfFrames {stated}" if stated else "no NumberOfFrames, so 1 frame"
    text = (
        f"{available:,} bytes of pixel data, but {expected:,} by the header ({number}, {header.Columns} x "
        f"{header.Rows} pixels, SamplesPerPixel {header.SamplesPerPixel}, BitsAllocated {header.BitsAllocated}, "
        f"{header.PhotometricInterpretation})"
    )
    if header.PhotometricInterpretation == "YBR_FULL_422" and available == expected // 2 * 3:
        return f"{text}: as for whole samples; correct PhotometricInterpretation to YBR_FULL or RGB"
    if available > expected and available % frame in (0, 1):
        return f"{text}: as for {available // frame} frames, or for more samples or bits; correct the wrong attribute"
    return f"{text}; replace it, or correct the wrong attribute"


def _swap_words(file: BinaryIO, header: Dataset, element: PixelElement, pieces: list[tuple[Span, ...]]) -> DicomFrames:
    """Swap the bytes of big-endian words of two 8-bit samples."""
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
        if _begins_frame(_read(file, span[0], min(12, span[1])), syntax):
            pieces.append((span,))
        elif not pieces:
            raise SourceError(f"its first frame does not begin like {syntax.name}; replace or remove it")
        else:
            pieces[-1] = (*pieces[-1], span)
    if len(pieces) != (stated or listed or len(pieces)):
        counter = "NumberOfFrames is" if stated else "its offset table lists"
        raise SourceError(f"{len(pieces)} compressed frames, but {counter} {stated or listed}; correct the wrong one")
    if not pieces:
        raise SourceError("its pixel data are empty")
    return pieces


def _items(file: BinaryIO, size: int, element: PixelElement) -> list[Span]:
    """Return the positions of the items of compressed pixel data: the offset table, then the fragments of frames."""
    items, at = [], element.offset
    delimited = element.length == UNDEFINED
    end = size if delimited else min(size, element.offset + element.length)
    while delimited or at < end:
        head = _read(file, at, 8)
        if delimited and not head and isinstance(element.source, bytes):
            break  # pydicom drops the delimiter
        if len(head) < 8:
            raise SourceError("truncated: its compressed pixel data have no end; replace or remove it")
        group, number, length = struct.unpack("<HHL", head)
        tag = group << 16 | number
        if tag == END:
            break
        if tag != ITEM:
            raise SourceError("its transfer syntax is compressed, but its pixel data are not split into frames")
        if at + 8 + length > end:
            raise SourceError(f"truncated: {end - at - 8:,} bytes of a fragment of {length:,} bytes are available")
        items.append((at + 8, length))
        at += 8 + length
    return items


def _begins_frame(start: bytes, syntax: UID) -> bool:
    """Return whether a fragment begins a frame: every one of RLE, and those of other syntaxes with a marker."""
    return syntax == RLELossless or start.startswith((JPEG_START, JPEG_2000_START, JP2_START))


def _opened(source: Path | bytes) -> BinaryIO:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)
