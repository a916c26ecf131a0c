"""Ultrasound from hospitals: DICOM files (PS3), single pictures and cines, under names that identify nobody.

A patient is a keyed pseudonym, and a picture is named by it and by its own keyed SOP Instance UID: file and folder
names often hold a woman's name. The institution stays as it is, because it is the site. Where it is missing the site is
`unknown`, and equal patient numbers of two such hospitals are taken for one patient.

Which files are read is decided in `dicom_files.py`; what becomes of the pixels, in `dicom_pixels.py`.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8
from pydicom import Dataset

from fulora.config import Runtime
from fulora.data.label_class import plain
from fulora.data.labels import Plane
from fulora.data.patient_numbers import plain_number
from fulora.intake.dicom.frames import DicomFrames, locate_frames
from fulora.intake.dicom.header import BROKEN
from fulora.intake.dicom.patients import DicomPatients
from fulora.intake.dicom.pixels import decode_frame, to_gray
from fulora.intake.dicom.ultrasound_files import Ultrasound, attribute_text, find_ultrasound
from fulora.intake.folders import folder_class
from fulora.intake.key_file import read_key
from fulora.intake.raw_image import FolderError, NoPixelSize, OnSkip, PatientDoubt, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs

CENTIMETRES = 3
EXPORTED = re.compile(r"(dicom|series|ser|se|study|stu?|s|pat?|im)?[ _-]*[\d._-]*", re.IGNORECASE)
"""How exports name folders of patients, studies and series: `SER00002`, `1.2.840.10008`, `DICOM`."""

SAME_SPACING = 0.01


class DicomConfig(FolderSourceConfig):
    """DICOM files as a hospital exports them; patients get keyed pseudonyms.

    Ultrasound images only: files that hold none (DICOMDIR, reports, other modalities, viewers) are passed over and
    listed.

    Attributes:
        plane: what all of them show; None takes it from the name of their folder.
        key_file: a file outside the data with the secret that pseudonyms are made with.
    """

    kind: Literal["dicom"] = "dicom"
    plane: Plane | None = None
    key_file: Annotated[Path, Runtime]

    def source_classes(self) -> tuple[str, ...] | None:
        """What all of them show, where that is said."""
        return None if self.plane is None else (self.plane,)

    def input_paths(self) -> dict[str, Path]:
        """The folder, the secret, and what every source may read."""
        return {**super().input_paths(), "key_file": self.key_file}

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """As `read_dicom`, with the secret of the key file."""
        return read_dicom(inputs.required_folder, self.plane, on_skip, key=read_key(inputs.key_file))


def pseudonym(patient_id: str, key: str) -> str:
    """The first 12 hex digits of the keyed BLAKE2b of a patient id: equal for equal ids, not to be guessed without key.

    Raises:
        SourceError: the key is empty or longer than BLAKE2b's 64 bytes.
    """
    return keyed_digest(patient_id, key).hex()[:12]


def keyed_digest(text: str, key: str) -> bytes:
    """The keyed BLAKE2b of a text, 64 bytes.

    Raises:
        SourceError: the key is empty or longer than 64 bytes.
    """
    secret = key.encode()
    if not 1 <= len(secret) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise SourceError(f"the key has {len(secret)} bytes; give a secret of 1 to 64 bytes, best 32 random ones")
    return hashlib.blake2b(text.encode(), key=secret).digest()


def read_dicom(folder: Path, plane: Plane | None, on_skip: OnSkip = refuse, *, key: str) -> Iterator[RawImage]:
    """Every ultrasound picture, and every frame of every cine, of the DICOM files anywhere under a folder.

    Which files they are is decided in `dicom_files.py`, which tells `on_skip` of all others. Pixels are decoded by
    `load()`, one frame at a time. Told and left out besides: files in a folder that is none of a class, as it is named
    after the patient. Told, but kept without a pixel size: contradictory spacings. Told at the end: patients of whom it
    is doubtful who they are.

    Args:
        plane: what all of them show; None where each file stands in a folder that is named after it.
        key: the secret behind all pseudonyms; the same key gives the same pseudonyms again.

    Raises:
        SourceError: no key, no folder, or no DICOM file.
    """
    keyed_digest("", key)
    people = DicomPatients()
    for found in find_ultrasound(folder, on_skip):
        people.add(found)
        try:
            images = _images(found, plane or _class_of(folder, found), key, on_skip)
        except FolderError:
            raise
        except SourceError as error:
            on_skip(str(error))
        else:
            yield from images
    for line in people.doubts():
        on_skip(PatientDoubt(line))


def _class_of(folder: Path, found: Ultrasound) -> Plane:
    """The class that a file's folder is named after. Class names are written into image sets: no patient's may be one.

    Raises:
        SourceError: it lies in none, or in one that is named after the patient or by an export.
    """
    path = found.path
    if path.parent == folder:
        raise SourceError(f"{path}: lies in no class's folder; put it into one that is named so, or say plane=...")
    name = folder_class(path.parent)
    patient, *names = (plain(attribute_text(found.header, keyword)) for keyword in ("PatientID", "PatientName"))
    words = {word for one in names for word in re.split(r"[\s^=]+", one) if len(word) > 2}
    if plain(name) == patient or words & set(plain(name).split()):
        raise SourceError(f"{path}: its folder is named after the patient; name it after the class, or say plane=...")
    if EXPORTED.fullmatch(name):
        raise SourceError(f"{path}: its folder {name} is named by an export; name it after the class, or say plane=...")
    return name


def _images(found: Ultrasound, plane: Plane, key: str, on_skip: OnSkip) -> list[RawImage]:
    """One image a frame; the pixels stay on disk."""
    path, header = found.path, found.header
    try:
        patient, instance, site, maker, model = (
            attribute_text(header, keyword)
            for keyword in ("PatientID", "SOPInstanceUID", "InstitutionName", "Manufacturer", "ManufacturerModelName")
        )
        size, problem = pixel_size_mm(header)
    except BROKEN as error:
        raise SourceError(f"{path}: cannot be read as DICOM ({error}); replace or remove it") from error
    if problem:
        on_skip(NoPixelSize(f"{path}: {problem}; kept without a pixel size"))
    who = pseudonym(patient, key)
    name = f"{who}_{keyed_digest(instance, key).hex()[:8]}"
    return [
        RawImage(
            f"{name}_f{index:04d}" if found.frames > 1 else name,
            plane,
            "dicom",
            site or "unknown",
            who,
            partial(_load, path, index),
            machine=f"{maker} {model}".strip(),
            pixel_size_mm=size,
            path=path,
            number_pseudonym=pseudonym(plain_number(patient), key),
        )
        for index in range(found.frames)
    ]


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


@lru_cache(maxsize=4)
def _frames(path: Path, changed_ns: int) -> DicomFrames:
    """The frames of a file, found once for all frames of a cine that are loaded one after the other."""
    return locate_frames(path)


def _load(path: Path, index: int) -> tuple[UInt8[np.ndarray, "h w"], None]:
    try:
        frames = _frames(path, path.stat().st_mtime_ns)
    except OSError:
        frames = locate_frames(path)  # which says what is wrong
    try:
        return to_gray(decode_frame(frames, index), frames.header), None
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
