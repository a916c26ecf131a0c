"""Pixels of a DICOM file, one frame at a time: decoded, and as 8-bit gray.

8-bit pixels are not changed (a window stored with them is a viewer's preference). Pixels of 9 to 16 bits are mapped by
the file's own modality table (or rescale slope and intercept), then by its first VOI table or window (PS3.3 C.11), and
their stated range, not that of one image, becomes 0 to 255. Only a window of the file clips values. MONOCHROME1 is
inverted, colour becomes luma (ITU-R BT.601).

Size, depth and colour space of a compressed frame are those of its codestream. Another size or depth in the header is
an error; the colour space of the header is used only if the codestream does not define one.
"""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil
from PIL.JpegImagePlugin import JpegImageFile
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut, convert_color_space, get_decoder
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGBaseline8Bit, JPEGExtended12Bit, RLELossless

from fulora.intake.dicom.codestream import Codestream, Colour, read_codestream
from fulora.intake.dicom.frames import COLOUR, DicomFrames
from fulora.intake.dicom.header import BROKEN
from fulora.intake.dicom.palette import palette_rgb
from fulora.intake.raw_image import SourceError

OPTIONS = {
    "rows": "Rows",
    "columns": "Columns",
    "samples_per_pixel": "SamplesPerPixel",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "pixel_representation": "PixelRepresentation",
    "planar_configuration": "PlanarConfiguration",
    "photometric_interpretation": "PhotometricInterpretation",
}
"""Names of the attributes that describe pixels, in pydicom's decoders."""


def decode_frame(frames: DicomFrames, index: int) -> np.ndarray:
    """Decode one frame: (height, width) in the stored type, or (height, width, 3) RGB. No other frame is read.

    Raises:
        SourceError: if the frame is damaged, has another size or depth than the header, or a contradictory or
            unsupported colour space.
    """
    header = frames.header
    try:
        data = frames.read(index)
        syntax = header.file_meta.TransferSyntaxUID
        colour = None
        if syntax.is_encapsulated and syntax != RLELossless:
            codestream = read_codestream(data)
            _check_codestream(codestream, header)
            colour = codestream.colour
            if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit) and codestream.bits == 8:
                return _decode_jpeg(data, colour, header)
        pixels = _decode_samples(data, header)
        if pixels.ndim == 3 and _colour_space(colour, header) == "YBR":
            return np.asarray(convert_color_space(pixels, "YBR_FULL", "RGB"))
        return pixels
    except SourceError as error:
        raise SourceError(f"frame {index}: {error}" if len(frames) > 1 else str(error)) from error
    except BROKEN as error:
        why = " ".join(str(error).split())  # pydicom writes a line per plugin
        raise SourceError(f"frame {index} cannot be decoded ({why}); replace or remove it") from error


def _decode_samples(data: bytes, header: Dataset) -> np.ndarray:
    syntax = header.file_meta.TransferSyntaxUID
    options = {name: header.get(keyword) for name, keyword in OPTIONS.items()}
    if syntax.is_encapsulated:
        data, options["planar_configuration"] = encapsulate([data]), 0
    pixels, _ = get_decoder(syntax).as_array(
        data, index=0, raw=True, correct_unused_bits=False, number_of_frames=1, pixel_keyword="PixelData", **options
    )
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def _check_codestream(codestream: Codestream, header: Dataset) -> None:
    stated = int(header.Columns), int(header.Rows), int(header.SamplesPerPixel)
    actual = codestream.columns, codestream.rows, codestream.samples
    if actual != stated:
        raise SourceError(
            f"its compressed data are {actual[0]} x {actual[1]} pixels of {actual[2]} samples, but in the header "
            f"{stated[0]} x {stated[1]} of {stated[2]}; correct the wrong one"
        )
    if not int(header.BitsStored) <= codestream.bits <= int(header.BitsAllocated):
        raise SourceError(
            f"its compressed data have {codestream.bits} bits, but in the header BitsStored {header.BitsStored} of "
            f"BitsAllocated {header.BitsAllocated}; correct the wrong one"
        )


def _colour_space(colour: Colour | None, header: Dataset) -> Colour:
    """Return the colour space of three samples: the codestream's, else the header's."""
    interpretation, syntax = str(header.PhotometricInterpretation), header.file_meta.TransferSyntaxUID
    if interpretation in COLOUR and colour is not None:
        return colour
    if interpretation == "RGB":
        return "RGB"
    if interpretation in ("YBR_FULL", "YBR_FULL_422"):
        return "YBR"
    if interpretation in COLOUR and syntax in JPEG2000TransferSyntaxes:
        return "RGB"  # the codestream has no component transform
    raise SourceError(f"photometric interpretation {interpretation} with {syntax.name}: not supported")


def contradicted_attributes(frames: DicomFrames) -> str:
    """Describe attributes that contradict the pixels of the first frame, and are ignored; "" if there are none."""
    header, contradictions = frames.header, []
    syntax, interpretation = header.file_meta.TransferSyntaxUID, str(header.PhotometricInterpretation)
    if len(frames) > 1 and not header.get("NumberOfFrames"):
        contradictions.append(f"no NumberOfFrames, but {len(frames)} compressed frames")
    if syntax.is_encapsulated and syntax != RLELossless and interpretation in COLOUR:
        try:
            colour = read_codestream(frames.read(0)).colour
        except SourceError:
            colour = None  # reported when the frame is decoded
        others = {"YBR": ("RGB",), "RGB": ("YBR_FULL", "YBR_FULL_422")}
        if colour and interpretation in others[colour]:
            contradictions.append(
                f"PhotometricInterpretation {interpretation}, but its compressed data decode to {colour}"
            )
    return " and ".join(contradictions)


def _decode_jpeg(data: bytes, colour: Colour | None, header: Dataset) -> np.ndarray:
    """Decode 8-bit JPEG by Pillow, which is always installed: gray or RGB."""
    if int(header.PixelRepresentation):
        raise SourceError("PixelRepresentation is signed, but JPEG is unsigned; correct it")
    with JpegImageFile(io.BytesIO(data)) as image:
        if image.mode == "RGB" and _colour_space(colour, header) == "RGB" and not _is_decoded_as_rgb(image):
            image.draft("YCbCr", image.size)  # keeps the stored samples
        return np.array(image)


def _is_decoded_as_rgb(image: JpegImageFile) -> bool:
    return "adobe_transform" in image.info or bytes(part[0] for part in image.layer) == b"RGB"


def to_gray(frame: np.ndarray, header: Dataset) -> UInt8[np.ndarray, "h w"]:
    """Convert a decoded frame to (height, width) gray, 0 to 255.

    Raises:
        SourceError: if the photometric interpretation or depth is not supported, values are beyond BitsStored, or a
            table or window is invalid.
    """
    try:
        interpretation = str(header.PhotometricInterpretation)
        if interpretation == "PALETTE COLOR" and frame.ndim == 2:
            return _luma(palette_rgb(frame, header))
        if interpretation in COLOUR and frame.ndim == 3 and frame.dtype == np.uint8:
            return _luma(frame)
        if interpretation in ("MONOCHROME1", "MONOCHROME2") and frame.ndim == 2:
            levels = _levels(frame, header)
            return 255 - levels if interpretation == "MONOCHROME1" else levels
    except SourceError:
        raise
    except BROKEN as error:
        raise SourceError(f"its gray levels cannot be read ({error})") from error
    raise SourceError(
        f"photometric interpretation {interpretation} with {frame.dtype} pixels of shape {frame.shape}; "
        f"supported: MONOCHROME1, MONOCHROME2, PALETTE COLOR, and 8-bit {', '.join(COLOUR)}"
    )


def _luma(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    return np.asarray(Pil.fromarray(rgb).convert("L"))


def stated_range(header: Dataset) -> tuple[int, int]:
    """Return the lowest and the highest value of BitsStored and PixelRepresentation.

    Raises:
        SourceError: if there are fewer than 8 or more than 16 bits.
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
    if int(header.get("HighBit") or 0) >= int(header.BitsStored):
        raise SourceError(f"HighBit is {header.HighBit}, but BitsStored {header.BitsStored}: it must be one less")
    if high - low == 255:
        return (frame - np.asarray(low, dtype=np.int16)).astype(np.uint8)
    values, low, high = _voi(*_modality(frame.astype(np.float64), low, high, header), header)
    _check_range(values, low, high)
    return np.asarray(np.rint((values - low) * (255 / (high - low))), dtype=np.uint8)


def _check_range(values: np.ndarray, low: float, high: float) -> None:
    least, most = float(values.min()), float(values.max())
    if not (low - 1e-6 <= least and most <= high + 1e-6):
        raise SourceError(f"values {least:g} to {most:g} are outside of their stated range {low:g} to {high:g}")


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
            f"values {values.min():g} to {values.max():g} of a stated range {low:g} to {high:g} would become one "
            "gray level; the true range is smaller, and unknown: store a window, or the true BitsStored"
        )
    return values, low, high
