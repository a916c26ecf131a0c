"""The header of a DICOM file: all attributes before the pixels, and the position of the pixels."""

from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fulora.intake.raw_image import DAMAGED_FILE_ERRORS, SourceError

PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
UNDEFINED = 0xFFFFFFFF
"""Length of pixel data that consist of items (compressed frames)."""

BROKEN = (BytesLengthException, InvalidDicomError, *DAMAGED_FILE_ERRORS)
"""Errors on DICOM files that are truncated or damaged."""


@dataclass(frozen=True)
class PixelElement:
    """The element with the pixels.

    Attributes:
        length, offset: of its value in `source`, in bytes; the length as stored.
    """

    source: Path | bytes
    keyword: str
    vr: str
    length: int
    offset: int


def read_header(path: Path) -> tuple[Dataset, PixelElement | None]:
    """Read all attributes before the pixels, and the element with the pixels; None if there is none.

    Raises:
        SourceError: if it cannot be read as DICOM.
    """
    elements: list[tuple[str, str, int]] = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag in PIXELS:
            elements.append((PIXELS[tag], vr or "", length))
        return bool(elements)

    try:
        with path.open("rb") as file:
            header = read_partial(file, stop_when=at_pixels)
            if elements and header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                return header, pixel_element(dcmread(path))  # it must be inflated as a whole
            offset = file.tell() + (8 if header.original_encoding[0] else 12)
    except BROKEN as error:
        raise SourceError(f"{path}: cannot be read as DICOM ({error}); replace or remove it") from error
    return header, PixelElement(path, *elements[0], offset) if elements else None


def pixel_element(dataset: Dataset) -> PixelElement | None:
    """Return the element with the pixels of a data set in memory; None if there is none."""
    for keyword in PIXELS.values():
        if keyword in dataset:
            value = bytes(dataset[keyword].value or b"")
            length = UNDEFINED if dataset[keyword].is_undefined_length else len(value)
            return PixelElement(value, keyword, dataset[keyword].VR, length, 0)
    return None
