"""Pixels of a DICOM file, one frame at a time: decoded, and as 8-bit gray.

8-bit pixels stay as they are (a window stored with them is a viewer's preference). Pixels of 9 to 16 bits go through
the file's own modality table (or rescale slope and intercept), then through its first VOI table or window (PS3.3 C.11),
and their stated range, never the range that one picture happens to use, becomes 0 to 255. What a window cuts off is
cut off because the file says so; nothing else is clipped. MONOCHROME1 is inverted, colour becomes luma (ITU-R BT.601).
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil
from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, get_decoder, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fulora.intake.decode import MAX_PIXELS, from_16_bit
from fulora.intake.raw import SourceError

COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
"""Photometric interpretations that pydicom's decoders return as RGB."""

BROKEN = (
    InvalidDicomError, BytesLengthException, EOFError, OSError, ValueError, AttributeError, KeyError, IndexError,
    TypeError, NotImplementedError, RuntimeError, OverflowError, AssertionError, struct.error, zlib.error,
)  # fmt: skip
"""What pydicom raises on files that are cut short or damaged."""


def decode(source: Path | Dataset, header: Dataset, index: int) -> np.ndarray:
    """One frame as stored: (height, width) in the stored type, or (height, width, 3) RGB. No other frame is decoded.

    Args:
        source: the file, of which only this frame is read, or its whole data set.

    Raises:
        SourceError: no stated range (floats), more pixels than any ultrasound, a transfer syntax that pydicom does not
            know or that has no plugin installed, or a frame that is missing or damaged.
    """
    try:
        if header.get("BitsStored") is None:
            raise SourceError("no BitsStored (float pixels?): the range of its values is unknown; save it as integers")
        size = (int(header.Rows), int(header.Columns))
        if size[0] * size[1] > MAX_PIXELS:
            raise SourceError(f"{size[1]} x {size[0]} is more than {MAX_PIXELS:,} pixels")
        _check_plugin(header)
        if isinstance(source, Path) and header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
            source = dcmread(source)  # a frame cannot be found in it without inflating all of it
        return np.asarray(pixel_array(source, index=index, correct_unused_bits=False))  # else too large values wrap
    except SourceError:
        raise
    except BROKEN as error:
        raise SourceError(f"frame {index} cannot be decoded ({error}); replace or remove it") from error


def _check_plugin(header: Dataset) -> None:
    syntax = header.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise SourceError(f"transfer syntax {syntax.name} ({syntax}) is not a picture's; export it as JPEG") from error
    if not decoder.is_available:
        raise SourceError(
            f'transfer syntax {syntax.name} ({syntax}) has no plugin here: pip install "fulora[dicom]"; '
            f"if that does not bring one, one of: {'; '.join(decoder.missing_dependencies)}"
        )


def gray(frame: np.ndarray, header: Dataset) -> UInt8[np.ndarray, "h w"]:
    """A decoded frame as (height, width) gray, 0 to 255, as the module says.

    Raises:
        SourceError: a photometric interpretation or a depth that is not supported, values beyond BitsStored, or a
            table or window that makes no sense.
    """
    try:
        interpretation = str(header.PhotometricInterpretation)
        if interpretation == "PALETTE COLOR" and frame.ndim == 2:
            return _luma(palette_rgb(frame, header))
        if interpretation in COLOUR and frame.dtype == np.uint8:
            return _luma(frame)
        if interpretation in ("MONOCHROME1", "MONOCHROME2") and frame.ndim == 2:
            levels = _levels(frame, header)
            return 255 - levels if interpretation == "MONOCHROME1" else levels
    except SourceError:
        raise
    except BROKEN as error:
        raise SourceError(f"its gray levels cannot be told ({error})") from error
    raise SourceError(
        f"photometric interpretation {interpretation} with {frame.dtype} pixels of shape {frame.shape}; "
        f"supported: MONOCHROME1, MONOCHROME2, PALETTE COLOR, and 8-bit {', '.join(COLOUR)}"
    )


def _luma(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    return np.asarray(Pil.fromarray(rgb).convert("L"))


def palette_rgb(frame: np.ndarray, header: Dataset) -> UInt8[np.ndarray, "h w 3"]:
    """A frame of palette numbers as (height, width, 3) RGB, 0 to 255. 16-bit entries are divided by 257.

    Raises:
        SourceError: a signed frame, or 16-bit entries that use only their lowest 12 bits.
    """
    entries, first, depth = header.RedPaletteColorLookupTableDescriptor
    if frame.dtype.kind != "u":
        raise SourceError("palette numbers are signed; they count from 0")
    numbers = np.minimum(np.arange(2 ** (8 * frame.itemsize)), first + (entries or 2**16) - 1)
    table = apply_color_lut(numbers, header)[:, :3]
    return np.asarray((from_16_bit(table, "the palette") if depth == 16 else table).astype(np.uint8)[frame])


def stated_range(header: Dataset) -> tuple[int, int]:
    """The lowest and the highest value that BitsStored and PixelRepresentation allow.

    Raises:
        SourceError: fewer than 8 or more than 16 bits.
    """
    bits = int(header.BitsStored)
    if not 8 <= bits <= 16:
        raise SourceError(f"BitsStored is {bits}; expected 8 to 16")
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if int(header.PixelRepresentation) else (0, 2**bits - 1)


def _levels(frame: np.ndarray, header: Dataset) -> UInt8[np.ndarray, "h w"]:
    low: float
    high: float
    low, high = stated_range(header)
    _check_range(frame, low, high)
    if high - low == 255:
        return (frame - np.asarray(low, dtype=np.int16)).astype(np.uint8)
    values, low, high = _voi(*_modality(frame.astype(np.float64), low, high, header), header)
    _check_range(values, low, high)
    return np.asarray(np.rint((values - low) * (255 / (high - low))), dtype=np.uint8)


def _check_range(values: np.ndarray, low: float, high: float) -> None:
    least, most = float(values.min()), float(values.max())
    if not (low - 1e-6 <= least and most <= high + 1e-6):
        raise SourceError(f"values {least:g} to {most:g} lie beyond their stated range {low:g} to {high:g}")


def _modality(values: np.ndarray, low: float, high: float, header: Dataset) -> tuple[np.ndarray, float, float]:
    if header.get("ModalityLUTSequence"):
        depth = header.ModalityLUTSequence[0].LUTDescriptor[2]
        return apply_modality_lut(values.astype(np.int64), header), 0.0, 2.0**depth - 1
    if header.get("RescaleSlope") is None or header.get("RescaleIntercept") is None:
        return values, low, high
    slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
    if not slope > 0:
        raise SourceError(f"RescaleSlope is {slope}; it must be positive")
    return values * slope + intercept, low * slope + intercept, high * slope + intercept


def _voi(values: np.ndarray, low: float, high: float, header: Dataset) -> tuple[np.ndarray, float, float]:
    if header.get("VOILUTSequence"):
        depth = header.VOILUTSequence[0].LUTDescriptor[2]
        return apply_voi_lut(np.rint(values).astype(np.int64), header), 0.0, 2.0**depth - 1
    if header.get("WindowCenter") is not None and header.get("WindowWidth") is not None:
        return apply_voi_lut(values, header), low, high
    used = float(np.ptp(values))
    if high - low > 4095 and 0 < used < (high - low) / 16:
        raise SourceError(
            f"values {values.min():g} to {values.max():g} of a stated range {low:g} to {high:g} would come out as one "
            "gray; the true range is smaller, and not known: store a window, or the true BitsStored"
        )
    return values, low, high
