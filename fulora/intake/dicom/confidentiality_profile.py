"""De-identified DICOM files, under the Basic Application Level Confidentiality Profile (PS3.15 Annex E, edition 2026c).

`fulora.intake.dicom.profile_attributes` treats the attributes. The preamble, the file's own header, and all that was
stored inside or behind compressed pixels are removed as well.

Text that is burned into pixels is only found by the function that is passed in, and not all of it: files declare
BurnedInAnnotation YES until a person has confirmed that none is left (`fulora.intake.deidentify.confirmation`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from pydicom import DataElement, Dataset, Sequence
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import set_pixel_data
from pydicom.uid import ExplicitVRLittleEndian

import fulora
from fulora.files import atomic_file
from fulora.intake.dicom.frames import DicomFrames, locate_frames
from fulora.intake.dicom.header import BROKEN
from fulora.intake.dicom.palette import palette_rgb
from fulora.intake.dicom.pixels import decode_frame, stated_range, to_gray
from fulora.intake.dicom.profile_attributes import deidentify_attributes
from fulora.intake.raw_image import SourceError
from fulora.intake.sources.dicom import keyed_digest

FindText = Callable[[UInt8[np.ndarray, "h w"]], Bool[np.ndarray, "h w"]]
"""From one frame as gray, 0 to 255, to the pixels to blank."""


class ProfileError(ValueError):
    """A DICOM file that cannot be passed on under the confidentiality profile."""


@dataclass(frozen=True)
class FileAudit:
    """Counts of what was done to one file; it holds no value of the file.

    Attributes:
        removed, replaced, emptied: elements, those in nested sequences included; `uids` of the replaced ones are UIDs.
    """

    removed: int
    replaced: int
    emptied: int
    uids: int
    frames: int
    searched_for_text: bool
    blanked_pixels: int


def write_deidentified(
    source: Path, target: Path, *, key: str, clean: FindText | None, pixels_unchecked: bool = False
) -> FileAudit:
    """Write a de-identified copy of a DICOM file, uncompressed (Explicit VR Little Endian).

    Raises:
        ProfileError: if the target exists, the result is not a valid DICOM file, or as `deidentify`.
    """
    if target.exists():
        raise ProfileError(f"{target}: already exists; choose another name or remove it")
    result, audit = deidentify(source, key=key, clean=clean, pixels_unchecked=pixels_unchecked)
    try:
        with atomic_file(target) as new:
            result.save_as(new, enforce_file_format=True)
    except BROKEN as error:
        raise ProfileError(f"{source}: the de-identified copy is not a valid DICOM file ({error})") from error
    return audit


def deidentify(
    source: Path | Dataset, *, key: str, clean: FindText | None, pixels_unchecked: bool = False
) -> tuple[Dataset, FileAudit]:
    """Return a de-identified copy of an image, and what was done; the source is not changed.

    The patient id becomes the pseudonym that `read_dicom` gives it under the same key, equal UIDs get equal
    replacements, pixels are decoded (YBR and palettes become RGB; MONOCHROME1 is kept) and blanked by `clean`. The copy
    declares BurnedInAnnotation YES until a person has checked it (`sign_checked`).

    Args:
        clean: finds burned-in text in a frame; None only together with `pixels_unchecked`.

    Raises:
        ProfileError: if neither or both of `clean` and `pixels_unchecked` are given, the source is not a DICOM image, a
            value or the pixels cannot be read, or `clean` returns a wrong shape or type.
        SourceError: if there is no key.
    """
    try:
        frames = locate_frames(source)
    except SourceError as error:
        raise ProfileError(str(error)) from error
    keyed_digest("", key)
    if (clean is None) is not pixels_unchecked:
        raise ProfileError("burned-in text: give either a function `clean`, or pixels_unchecked=True")
    count: Counter[str] = Counter()
    try:
        result = deidentify_attributes(frames.header, key, count)
        if not frames.header.file_meta.TransferSyntaxUID.is_little_endian:
            result.walk(_swap_words)
        blanked = _copy_pixels(frames, result, clean)
    except SourceError as error:
        raise ProfileError(str(error)) from error
    except ProfileError:
        raise
    except BROKEN as error:
        raise ProfileError(f"a value or the pixels cannot be read ({error}); nothing is passed on") from error
    _declare_method(result)
    removed, replaced, emptied, uids = (count[action] for action in ("removed", "replaced", "emptied", "uids"))
    return result, FileAudit(removed, replaced, emptied, uids, len(frames), clean is not None, blanked)


def _swap_words(parent: Dataset, element: DataElement) -> None:
    """Convert words that pydicom keeps as bytes of the file (tables) from big to little endian."""
    if element.VR == "OW":
        element.value = np.frombuffer(element.value, dtype="<u2").byteswap().tobytes()


def _copy_pixels(frames: DicomFrames, result: Dataset, clean: FindText | None) -> int:
    source = frames.header
    interpretation, blanked = str(source.PhotometricInterpretation), 0
    stored: list[np.ndarray] = []
    for index in range(len(frames)):
        frame = decode_frame(frames, index)
        gray = to_gray(frame, source)
        if interpretation == "PALETTE COLOR":
            frame = palette_rgb(frame, source)
        if clean is not None:
            where = _check_mask(clean(gray), gray.shape)
            frame[where] = 0 if frame.ndim == 3 else stated_range(source)[interpretation == "MONOCHROME1"]
            blanked += int(where.sum())
        stored.append(frame)
    for keyword in [keyword for keyword in result.dir("PaletteColor") if keyword in result]:
        del result[keyword]
    pixels = np.stack(stored) if "NumberOfFrames" in source or len(stored) > 1 else stored[0]
    colour = stored[0].ndim == 3
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    set_pixel_data(
        result,
        pixels,
        "RGB" if colour else interpretation,
        8 if colour else int(source.BitsStored),
        generate_instance_uid=False,
    )
    return blanked


def _check_mask(where: np.ndarray, shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    if where.dtype != np.bool_ or where.shape != shape:
        raise ProfileError(f"`clean` returned {where.dtype} of shape {where.shape}; expected bool of shape {shape}")
    return where


def _declare_method(result: Dataset) -> None:
    """Document the de-identification in the file. Its pixels are not checked yet, so that text may be left in them.

    Patient Identity Removed means "from the attributes and the pixel data" (DICOM PS3.3 C.7.1.1), so it is NO as well.
    """
    result.PatientIdentityRemoved = "NO"
    result.DeidentificationMethod = [f"fulora {fulora.__version__}", "DICOM PS3.15 E.1 2026c"]
    result.DeidentificationMethodCodeSequence = Sequence([_code("113100", "Basic Application Confidentiality Profile")])
    result.LongitudinalTemporalInformationModified = "REMOVED"
    result.BurnedInAnnotation = "YES"


def sign_checked(dataset: Dataset) -> None:
    """Document in a de-identified file that a person has checked its pixels and found no text."""
    dataset.PatientIdentityRemoved, dataset.BurnedInAnnotation = "YES", "NO"
    dataset.DeidentificationMethodCodeSequence.append(_code("113101", "Clean Pixel Data Option"))


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
