"""Ultrasound from hospitals: DICOM files (PS3), single pictures and cines, under names that identify nobody.

A patient is a keyed pseudonym, and a picture is named by it and by its own keyed SOP Instance UID: file and folder
names often hold a woman's name. The institution stays as it is, because it is the site. Where it is missing the site is
`unknown`, and equal patient numbers of two such hospitals are taken for one patient.

What becomes of the pixels stands in `dicom_pixels.py`.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import UInt8
from pydicom import Dataset
from pydicom.filereader import read_partial
from pydicom.uid import UID, MediaStorageDirectoryStorage

from fulora.data.cells import is_missing
from fulora.data.labels import Plane
from fulora.intake.raw import Complain, RawImage, SourceError, refuse, within
from fulora.intake.sources.dicom_pixels import BROKEN, decode, gray

ALL_PLANES: tuple[Plane, ...] = get_args(Plane)
ULTRASOUND = ("US", "IVUS")
OTHER_FILES = (".txt", ".json", ".csv", ".md", ".xml")
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
CENTIMETRES = 3
SAME_SPACING = 0.01
MAX_FRAMES = 10_000


def pseudonym(patient_id: str, key: str) -> str:
    """The first 12 hex digits of the keyed BLAKE2b of a patient id: equal for equal ids, not to be guessed without key.

    Raises:
        SourceError: the key is empty or longer than BLAKE2b's 64 bytes.
    """
    return keyed(patient_id, key).hex()[:12]


def keyed(text: str, key: str) -> bytes:
    """The keyed BLAKE2b of a text, 64 bytes.

    Raises:
        SourceError: the key is empty or longer than 64 bytes.
    """
    secret = key.encode()
    if not 1 <= len(secret) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise SourceError(f"the key has {len(secret)} bytes; give a secret of 1 to 64 bytes, best 32 random ones")
    return hashlib.blake2b(text.encode(), key=secret).digest()


def read_dicom(folder: Path, plane: Plane | None, complain: Complain = refuse, *, key: str) -> Iterator[RawImage]:
    """Every ultrasound picture, and every frame of every cine, of the DICOM files anywhere under a folder.

    Files are known by their content, whatever their endings, and come in the order of their relative paths. Pixels are
    decoded by `load()`, one frame at a time. Told to `complain` and left out: files that are not DICOM (text, tables
    and DICOMDIRs are passed over), other modalities, objects without pixels (reports, presentation states), no
    PatientID, no SOPInstanceUID, a second copy, no plane. Told, but kept without a pixel size: contradictory spacings.

    Args:
        plane: what all of them show; None where each file stands in a folder named after its plane.
        key: the secret behind all pseudonyms; the same key gives the same pseudonyms again.

    Raises:
        SourceError: no key, no folder, or no DICOM file.
    """
    keyed("", key)
    if not folder.is_dir():
        raise SourceError(f"{folder}: not a folder; expected one with DICOM files")
    seen: set[str] = set()
    found = False
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            header = _header(within(folder, str(path.relative_to(folder))))
            if header is None:
                continue
            found = True
            images = _images(path, header, plane or _plane_of(path), key, complain)
            name = images[0].name
            if name in seen:
                raise SourceError(f"{path}: the same SOPInstanceUID as a file before it; remove the copy")
        except SourceError as error:
            complain(str(error))
        else:
            seen.add(name)
            yield from images
    if not found:
        raise SourceError(f"{folder}: no DICOM files; they are known by 'DICM' at byte 128, whatever their names")


def _header(path: Path) -> Dataset | None:
    """All elements before the pixels; None for a file that may stand beside DICOM."""
    passed: list[int] = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag in PIXELS:
            passed.append(tag)
        return bool(passed)

    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                if path.suffix.lower() in OTHER_FILES:
                    return None
                raise SourceError(f"{path}: not a DICOM file; remove it, or name it .txt, .json or .csv if it is one")
            file.seek(0)
            header = read_partial(file, stop_when=at_pixels)
            kind = str(header.file_meta.get("MediaStorageSOPClassUID", ""))
    except SourceError:
        raise
    except BROKEN as error:
        raise SourceError(f"{path}: cannot be read as DICOM ({error}); replace or remove it") from error
    if kind == MediaStorageDirectoryStorage:
        return None
    if not passed:
        raise SourceError(f"{path}: no pixels (SOP class {UID(kind).name}): not a picture, or cut short")
    return header


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _plane_of(path: Path) -> Plane:
    for plane in ALL_PLANES:
        if path.parent.name == plane:
            return plane
    raise SourceError(f"{path}: its folder is none of {', '.join(ALL_PLANES)}; name the folder so, or give a plane")


def _images(path: Path, header: Dataset, plane: Plane, key: str, complain: Complain) -> list[RawImage]:
    """One image a frame; the pixels stay on disk."""
    try:
        patient, instance, modality, site, maker, model = (
            _text(header, keyword)
            for keyword in (
                "PatientID", "SOPInstanceUID", "Modality", "InstitutionName", "Manufacturer", "ManufacturerModelName",
            )
        )  # fmt: skip
        frames = int(header.get("NumberOfFrames") or 1)
        size, problem = pixel_size_mm(header)
    except BROKEN as error:
        raise SourceError(f"{path}: cannot be read as DICOM ({error}); replace or remove it") from error
    if modality not in ULTRASOUND:
        raise SourceError(f"{path}: modality '{modality}'; expected ultrasound ({' or '.join(ULTRASOUND)})")
    if is_missing(patient):
        raise SourceError(f"{path}: no PatientID; patients cannot be told apart, so splits would leak")
    if not instance:
        raise SourceError(f"{path}: no SOPInstanceUID; it names the picture")
    if not 1 <= frames <= MAX_FRAMES:
        raise SourceError(f"{path}: NumberOfFrames is {frames}; expected 1 to {MAX_FRAMES:,}")
    if problem:
        complain(f"{path}: {problem}; kept without a pixel size")
    who = pseudonym(patient, key)
    name = f"{who}_{keyed(instance, key).hex()[:8]}"
    return [
        RawImage(
            f"{name}_f{index:04d}" if frames > 1 else name, plane, "dicom", site or "unknown", who,
            partial(_load, path, index), machine=f"{maker} {model}".strip(), pixel_size_mm=size, path=path,
        )
        for index in range(frames)
    ]  # fmt: skip


def pixel_size_mm(header: Dataset) -> tuple[float | None, str]:
    """Millimetres a pixel, or None, and what contradicts itself, or "".

    From the 2D tissue regions in centimetres (PS3.3 C.8.5.5), where there are any; else from PixelSpacing. Not from
    ImagerPixelSpacing: that is measured at a detector, before the beam's magnification, and no ultrasound has one.
    """
    spacings = [
        (abs(float(region.PhysicalDeltaX)) * 10, abs(float(region.PhysicalDeltaY)) * 10)
        for region in header.get("SequenceOfUltrasoundRegions") or []
        if (region.get("RegionSpatialFormat"), region.get("RegionDataType")) == (1, 1)
        and region.get("PhysicalUnitsXDirection") == region.get("PhysicalUnitsYDirection") == CENTIMETRES
    ]
    if not spacings and header.get("PixelSpacing"):
        down, across = header.PixelSpacing
        spacings = [(float(across), float(down))]
    if not spacings:
        return None, ""
    values = [value for pair in spacings for value in pair]
    if not (min(values) > 0 and np.isfinite(values).all()):
        return None, f"pixel spacings of {values} mm are not all positive"
    if any(abs(x - y) > SAME_SPACING * min(x, y) for x, y in spacings):
        return None, f"pixels are not square: {values} mm across and down"
    if max(values) > min(values) * (1 + SAME_SPACING):
        return None, f"2D regions of different scales: {values} mm"
    return float(np.mean(values)), ""


def _load(path: Path, index: int) -> tuple[UInt8[np.ndarray, "h w"], None]:
    header = _header(path)
    if header is None:
        raise SourceError(f"{path}: was a DICOM picture before, and is none now")
    try:
        return gray(decode(path, header, index), header), None
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
