"""Palettes of a DICOM file as 8-bit colours, in all formats of scanners (PS3.3 C.7.6.3.1.5 and 6).

The depth of the entries follows from the length of their data rather than from the descriptor; of 8-bit entries in
16-bit words, the byte that is used is read.
"""

import numpy as np
from jaxtyping import UInt8
from pydicom import Dataset
from pydicom.pixels import apply_color_lut

from fulora.intake.formats.decode import from_sixteen_bit
from fulora.intake.raw_image import SourceError

COLOURS = ("Red", "Green", "Blue")


def palette_rgb(frame: np.ndarray, header: Dataset) -> UInt8[np.ndarray, "h w 3"]:
    """Convert a frame of palette indexes to (height, width, 3) RGB, 0 to 255.

    Indexes below the first mapped one get the first entry, those above the last one the last entry.

    Raises:
        SourceError: if indexes are signed, descriptors are invalid or differ, the data have another length, or 16-bit
            entries use only their lowest 12 bits.
    """
    if frame.dtype.kind != "u" or frame.dtype.itemsize > 2:
        raise SourceError("palette indexes are signed, or of 32 bits; they must be from 0 to 65535")
    entries, first, bits = _descriptor(header)
    table = _eight_bit(_entries(header, entries, first, bits), bits)
    numbers = np.clip(np.arange(2 ** (8 * frame.itemsize)) - first, 0, entries - 1)
    return np.asarray(table[numbers][frame])


def _descriptor(header: Dataset) -> tuple[int, int, int]:
    """Return the number of entries, the first mapped index, and bits per entry; the same for all colours."""
    descriptors = set()
    for colour in COLOURS:
        entries, first, bits = header[f"{colour}PaletteColorLookupTableDescriptor"].value
        descriptors.add((int(entries) & 0xFFFF or 2**16, int(first), int(bits)))
    if len(descriptors) > 1:
        raise SourceError(f"the descriptors of its three palettes differ: {sorted(descriptors)}; they must be the same")
    entries, first, bits = descriptors.pop()
    if bits not in (8, 16) or first < 0:
        raise SourceError(f"a palette of {bits} bits from index {first}; expected 8 or 16 bits, from 0 or more")
    return entries, first, bits


def _entries(header: Dataset, entries: int, first: int, bits: int) -> np.ndarray:
    """Return (entries, 3) as stored, 8-bit bytes or 16-bit words."""
    if "RedPaletteColorLookupTableData" not in header and "SegmentedRedPaletteColorLookupTableData" in header:
        if bits == 8 and entries > 256:
            raise SourceError(f"a segmented palette of {entries} 8-bit entries is not supported; export it as RGB")
        return np.asarray(apply_color_lut(np.arange(first, first + entries), header)[:, :3])
    little = header.file_meta.TransferSyntaxUID.is_little_endian
    tables: list[np.ndarray] = []
    for colour in COLOURS:
        data = bytes(header[f"{colour}PaletteColorLookupTableData"].value)
        if len(data) == 2 * entries and not (entries == 1 and bits == 8):
            tables.append(np.frombuffer(data, "<u2" if little else ">u2").astype(np.uint16))
        elif len(data) in (entries, entries + entries % 2):
            words = np.frombuffer(data + b"\0" * (len(data) % 2), "<u2")
            tables.append(np.frombuffer((words if little else words.byteswap()).tobytes(), np.uint8)[:entries])
        else:
            raise SourceError(
                f"{len(data)} bytes of {colour.lower()} palette for {entries} entries ({entries} or {2 * entries})"
            )
    if len({table.dtype for table in tables}) > 1:
        raise SourceError("some of its three palettes are bytes, and some are words; they must be the same")
    return np.stack(tables, axis=1)


def _eight_bit(entries: np.ndarray, bits: int) -> UInt8[np.ndarray, "n 3"]:
    if entries.dtype == np.uint8:
        return entries
    high, low = entries >> 8, entries & 255
    if not low.any():
        return high.astype(np.uint8)
    if bits == 8 and not high.any():
        return low.astype(np.uint8)
    return from_sixteen_bit(entries, "the palette")
