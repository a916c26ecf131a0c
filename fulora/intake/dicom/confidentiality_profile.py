"""DICOM files for others: the Basic Application Level Confidentiality Profile (PS3.15 Annex E, edition 2026c).

What becomes of an attribute is read from the tables of the library dicom-anonymizer, and done here: the library treats
the top level only, keeps removed dates as dummies, and draws new UIDs at random. Stricter than the profile: texts,
dates and bytes that the profile does not name are removed too, except for a short list (`KEPT`); so are all overlays,
curves and private elements, the preamble, the file's own header, and whatever stood inside or behind compressed pixels.

Text that is burned into pixels is only found by the function that is passed in, and not all of it: files say
BurnedInAnnotation YES until a person has confirmed that none is left (`fulora.intake.deidentify.confirmation`). Coded
values (CS, and the codes and meanings of code sequences) stay as they are, as the profile has it: a site
that writes names into codes leaks them.
"""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from dicomanonymizer.simpledicomanonymizer import replace_element
from jaxtyping import Bool, UInt8
from pydicom import DataElement, Dataset, Sequence
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import set_pixel_data
from pydicom.uid import UID, ExplicitVRLittleEndian

import fulora
from fulora.data.tables.cells import is_missing
from fulora.intake.dicom.frames import DicomFrames, locate_frames
from fulora.intake.dicom.header import BROKEN
from fulora.intake.dicom.palette import palette_rgb
from fulora.intake.dicom.pixels import decode_frame, stated_range, to_gray
from fulora.intake.raw_image import SourceError
from fulora.intake.sources.dicom import keyed_digest, pseudonym

EDITION = "dicomfields_2026c"
TABLES = {name: frozenset(tags) for name, tags in dicom_anonymization_database_selector(EDITION).items()}
REMOVED = TABLES["X_TAGS"]
EMPTIED = TABLES["Z_TAGS"] | TABLES["X_Z_TAGS"]
REPLACED = TABLES["D_TAGS"] | TABLES["Z_D_TAGS"] | TABLES["X_D_TAGS"] | TABLES["X_Z_D_TAGS"]
"""X removes; Z empties; D gives a dummy. Where the standard leaves a choice, the one that every object type allows."""

PLAIN = ("CS", "DS", "IS", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "AT")
"""Kinds of value that stay where the profile does not name the attribute: codes and numbers."""

KEPT = (
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "CodeValue",
    "CodingSchemeDesignator",
    "CodingSchemeVersion",
    "CodeMeaning",
    "LUTData",
)
CLASSES = ("SOPClassUID", "ReferencedSOPClassUID")
STANDARD = "1.2.840.10008."
"""The root of the standard's own UIDs: no site may give any out under it."""
PIXEL_GROUP = 0x7FE0

FindText = Callable[[UInt8[np.ndarray, "h w"]], Bool[np.ndarray, "h w"]]
"""From one frame as gray, 0 to 255, to where it must be blanked."""


class ProfileError(ValueError):
    """A DICOM file that cannot be passed on under the confidentiality profile."""


@dataclass(frozen=True)
class FileAudit:
    """What was done to one file, in numbers only: no value of the file stands in it.

    Attributes:
        removed, replaced, emptied: elements, those in nested sequences included; `uids` of the replaced ones are UIDs.
        frames: pictures in the file.
        searched_for_text: whether a function looked at every frame for burned-in text. No person did.
        blanked_pixels: pixels that it blanked, over all frames.
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
    """Write a de-identified copy of a DICOM file, uncompressed (Explicit VR Little Endian). The target's name is yours.

    Raises:
        ProfileError: the target is there already, the source is no DICOM file or lacks what every file needs, or what
            `deidentify_dataset` raises.
    """
    if target.exists():
        raise ProfileError(f"{target}: is there already; choose another name or remove it")
    try:
        frames = locate_frames(source)
    except SourceError as error:
        raise ProfileError(str(error)) from error
    result, audit = _deidentified(frames, key, clean, pixels_unchecked)
    scratch = target.with_name(f".{target.name}.part")
    try:
        result.save_as(scratch, enforce_file_format=True)
    except BROKEN as error:
        scratch.unlink(missing_ok=True)
        raise ProfileError(f"{source}: what is left of it is no valid DICOM file ({error})") from error
    scratch.replace(target)
    return audit


def deidentify_dataset(
    dataset: Dataset, *, key: str, clean: FindText | None, pixels_unchecked: bool = False
) -> Dataset:
    """A de-identified copy of an image; the data set itself is left as it is.

    The patient id becomes the pseudonym that `read_dicom` gives it under the same key, UIDs are replaced so that equal
    ones stay equal, pixels are decoded (YBR and palettes become RGB; MONOCHROME1 stays) and blanked where `clean` says.
    It is marked BurnedInAnnotation YES until a person has checked it (`sign_checked`).

    Args:
        clean: finds burned-in text in a frame; None only together with `pixels_unchecked`.
        pixels_unchecked: pass on pictures in which no text was looked for.

    Raises:
        ProfileError: neither `clean` nor `pixels_unchecked`, or both; a value that cannot be read; a mask of another
            shape or type; or pixels that cannot be decoded, or have not the length that the header says.
        SourceError: no key.
    """
    try:
        frames = locate_frames(dataset)
    except SourceError as error:
        raise ProfileError(str(error)) from error
    return _deidentified(frames, key, clean, pixels_unchecked)[0]


def _deidentified(
    frames: DicomFrames, key: str, clean: FindText | None, pixels_unchecked: bool
) -> tuple[Dataset, FileAudit]:
    keyed_digest("", key)
    if (clean is None) is not pixels_unchecked:
        raise ProfileError("burned-in text: give a function `clean`, or say pixels_unchecked=True, and not both")
    count: Counter[str] = Counter()
    try:
        result = _profiled(frames.header, key, count)
        if not frames.header.file_meta.TransferSyntaxUID.is_little_endian:
            result.walk(_swap_words)
        blanked = _copy_pixels(frames, result, clean)
    except SourceError as error:
        raise ProfileError(str(error)) from error
    except ProfileError:
        raise
    except BROKEN as error:
        raise ProfileError(f"a value or the pixels cannot be read ({error}); nothing is passed on") from error
    _sign(result)
    return result, FileAudit(
        count["removed"], count["replaced"], count["emptied"], count["uids"], len(frames), clean is not None, blanked
    )


def _profiled(dataset: Dataset, key: str, count: Counter[str]) -> Dataset:
    """The elements that may stay, at every depth, without the pixels."""
    result = Dataset()
    for element in dataset:
        if element.tag.group == PIXEL_GROUP:
            continue
        kept = _treated(element, key, count)
        if kept is None:
            count["removed"] += 1
        else:
            result.add(kept)
    return result


def _treated(element: DataElement, key: str, count: Counter[str]) -> DataElement | None:
    """One element as the profile has it; None where it goes."""
    tag = (element.tag.group, element.tag.element)
    if _goes(element):
        return None
    if element.keyword == "PatientID":
        if is_missing(str(element.value or "")):
            return element  # a dummy would make one patient of all who have no id
        count["replaced"] += 1
        return DataElement(element.tag, "LO", pseudonym(str(element.value).strip(), key))
    if element.VR == "UI":
        return _with_new_uids(element, key, count)
    if tag in EMPTIED:
        count["emptied"] += 1
        return DataElement(element.tag, element.VR, Sequence() if element.VR == "SQ" else None)
    if tag in REPLACED:
        count["replaced"] += 1
        dummy = copy.deepcopy(element)
        replace_element(dummy)
        return dummy
    if element.VR == "SQ":
        return DataElement(element.tag, "SQ", Sequence(_profiled(item, key, count) for item in element.value))
    return copy.deepcopy(element)


def _goes(element: DataElement) -> bool:
    tag, group = (element.tag.group, element.tag.element), element.tag.group
    if element.tag.is_private or tag[1] == 0 or group & 0xFF00 in (0x5000, 0x6000) or tag in REMOVED:
        return True
    if element.VR == "SQ":
        return tag in REPLACED or not element.keyword  # only reports and presentation states need the former
    named = tag in EMPTIED or tag in REPLACED or element.VR == "UI"
    return not named and element.keyword not in KEPT and not _is_plain(element)


def _is_plain(element: DataElement) -> bool:
    """Whether a code or a number, as the file says and as the standard does: a file may call a name a code."""
    kinds = f"{element.VR} or {dictionary_VR(element.tag) if element.keyword else 'unknown'}"
    return set(kinds.split(" or ")) <= set(PLAIN)


def _with_new_uids(element: DataElement, key: str, count: Counter[str]) -> DataElement:
    """UIDs of the standard (classes, transfer syntaxes) stay; all others are replaced."""
    old = [UID(value) for value in ([element.value] if element.VM <= 1 else element.value) if value]
    named = (element.tag.group, element.tag.element) in TABLES["U_TAGS"]
    classes = element.keyword in CLASSES
    new = [
        uid if classes or uid.name != uid or (uid.startswith(STANDARD) and not named) else new_uid(uid, key)
        for uid in old
    ]
    changed = old != new
    count["replaced"] += changed
    count["uids"] += changed
    return DataElement(element.tag, "UI", new[0] if len(new) == 1 else new)


def new_uid(uid: str, key: str) -> str:
    """The UID that takes the place of another: 2.25. (PS3.5 B.2) and 128 bits of its keyed BLAKE2b.

    Raises:
        SourceError: no key.
    """
    return f"2.25.{int.from_bytes(keyed_digest(uid, key)[:16], 'big')}"


def _swap_words(parent: Dataset, element: DataElement) -> None:
    """Words that pydicom keeps as the bytes of the file (tables), from big to little endian."""
    if element.VR == "OW":
        element.value = np.frombuffer(element.value, dtype="<u2").byteswap().tobytes()


def _copy_pixels(frames: DicomFrames, result: Dataset, clean: FindText | None) -> int:
    """Decode, blank and store frame by frame; returns how many pixels were blanked."""
    source = frames.header
    interpretation, blanked = str(source.PhotometricInterpretation), 0
    stored: list[np.ndarray] = []
    for index in range(len(frames)):
        frame = decode_frame(frames, index)
        shown = to_gray(frame, source)
        if interpretation == "PALETTE COLOR":
            frame = palette_rgb(frame, source)
        if clean is not None:
            where = _mask(clean(shown), shown.shape)
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


def _mask(where: np.ndarray, shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    if where.dtype != np.bool_ or where.shape != shape:
        raise ProfileError(f"`clean` gave {where.dtype} of shape {where.shape}; expected bool of shape {shape}")
    return where


def _sign(result: Dataset) -> None:
    """Say in the file what was done. Nobody has looked at its pixels yet, so that text may be left in them.

    Patient Identity Removed means "from the attributes and the pixel data" (DICOM PS3.3 C.7.1.1), so it is NO as well.
    """
    result.PatientIdentityRemoved = "NO"
    result.DeidentificationMethod = [f"fulora {fulora.__version__}", "DICOM PS3.15 E.1 2026c"]
    result.DeidentificationMethodCodeSequence = Sequence([_code("113100", "Basic Application Confidentiality Profile")])
    result.LongitudinalTemporalInformationModified = "REMOVED"
    result.BurnedInAnnotation = "YES"


def sign_checked(dataset: Dataset) -> None:
    """Say in a de-identified file that a person has checked its pixels and found no text left in them."""
    dataset.PatientIdentityRemoved, dataset.BurnedInAnnotation = "YES", "NO"
    dataset.DeidentificationMethodCodeSequence.append(_code("113101", "Clean Pixel Data Option"))


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
