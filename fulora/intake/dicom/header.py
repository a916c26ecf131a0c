"""A DICOM file up to its pixels: all attributes before them, and where the pixels begin."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fulora.intake.raw_image import SourceError

PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
UNDEFINED = 0xFFFFFFFF
"""Length of pixel data that are split into items (compressed frames)."""

BROKEN = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    OSError,
    ValueError,
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    AssertionError,
    SyntaxError,
    struct.error,
    zlib.error,
)
"""What pydicom and Pillow raise on files that are cut short or damaged."""


@dataclass(frozen=True)
class PixelElement:
    """The element with the pixels: its length as written, and where in `source` its value begins, in bytes.

    Attributes:
        vr: its kind of value (OB or OW); "" where the file does not say it.
    """

    source: Path | bytes
    keyword: str
    vr: str
    length: int
    offset: int


def read_header(path: Path) -> tuple[Dataset, PixelElement | None]:
    """All attributes before the pixels, and the element with the pixels; None where there is none.

    Raises:
        SourceError: cannot be read as DICOM.
    """
    found: list[tuple[str, str, int]] = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag in PIXELS:
            found.append((PIXELS[tag], vr or "", length))
        return bool(found)

    try:
        with path.open("rb") as file:
            header = read_partial(file, stop_when=at_pixels)
            if found and header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                return header, pixel_element(dcmread(path))  # nothing can be found in it without inflating all of it
            short = 8 if header.original_encoding[0] else 12
            offset = file.tell() + short
    except BROKEN as error:
        raise SourceError(f"{path}: cannot be read as DICOM ({error}); replace or remove it") from error
    return header, PixelElement(path, *found[0], offset) if found else None


def pixel_element(dataset: Dataset) -> PixelElement | None:
    """The element with the pixels of a data set in memory."""
    for keyword in PIXELS.values():
        if keyword in dataset:
            value = bytes(dataset[keyword].value or b"")
            whole = dataset[keyword].is_undefined_length
            return PixelElement(value, keyword, dataset[keyword].VR, UNDEFINED if whole else len(value), 0)
    return None
