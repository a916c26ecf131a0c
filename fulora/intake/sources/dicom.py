"""Ultrasound from hospitals: DICOM files (PS3), single images and cines, under pseudonyms.

A patient gets a keyed pseudonym, and an image is named by it and by its keyed SOP Instance UID, since names of files
and folders often hold a patient's name. The institution is kept as the site. Where it is missing the site is `unknown`,
and equal patient numbers of two such hospitals count as one patient.

`fulora.intake.dicom.ultrasound_files` selects the files, `fulora.intake.dicom.pixels` converts their pixels.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydicom import Dataset

from fulora.config import Runtime
from fulora.data.column_types import Plane
from fulora.data.label_class import comparable_word
from fulora.data.patient_numbers import plain_number
from fulora.intake.dicom.frames import DicomFrames, locate_frames
from fulora.intake.dicom.header import BROKEN
from fulora.intake.dicom.patients import DicomPatients
from fulora.intake.dicom.pixels import decode_frame, to_gray
from fulora.intake.dicom.ultrasound_files import Ultrasound, attribute_text, find_ultrasound
from fulora.intake.key_file import read_key
from fulora.intake.patient_pattern import folder_class
from fulora.intake.raw_image import (
    NoPixelSize,
    OnSkip,
    PatientDoubt,
    PixelsAndMask,
    RawImage,
    SourceError,
    convert_each,
    refuse,
)
from fulora.intake.source_config import FolderSourceConfig, SourceInputs

CENTIMETRES = 3
EXPORTED = re.compile(r"(dicom|series|ser|se|study|stu?|s|pat?|im)?[ _-]*[\d._-]*", re.IGNORECASE)
"""Usual names of exported folders of patients, studies and series: `SER00002`, `1.2.840.10008`, `DICOM`."""

SAME_SPACING = 0.01


class DicomConfig(FolderSourceConfig):
    """DICOM files as a hospital exports them; patients get keyed pseudonyms.

    Only ultrasound images are read: other files (DICOMDIR, reports, other modalities, viewers) are passed over and
    listed.

    Attributes:
        plane: the class of all images; None takes it from the name of their folder.
        key_file: a file outside the data with the secret key of the pseudonyms.
    """

    kind: Literal["dicom"] = "dicom"
    plane: Plane | None = None
    key_file: Annotated[Path, Runtime]

    def source_classes(self) -> tuple[str, ...] | None:
        """Return the class of all images, if it is set."""
        return None if self.plane is None else (self.plane,)

    def input_paths(self) -> dict[str, Path]:
        """Return the folder, the key file, and the paths of every source."""
        return {**super().input_paths(), "key_file": self.key_file}

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Read the folder by `read_dicom`, with the secret of the key file."""
        return read_dicom(inputs.required_folder, self.plane, on_skip, key=read_key(inputs.key_file))


def pseudonym(patient_id: str, key: str) -> str:
    """Return the first 12 hex digits of the keyed BLAKE2b of a patient id: equal for equal ids, secret without the key.

    Raises:
        SourceError: if the key is empty or longer than 64 bytes.
    """
    return keyed_digest(patient_id, key).hex()[:12]


def keyed_digest(text: str, key: str) -> bytes:
    """Return the keyed BLAKE2b of a text, 64 bytes.

    Raises:
        SourceError: if the key is empty or longer than 64 bytes.
    """
    secret = key.encode()
    if not 1 <= len(secret) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise SourceError(f"the key has {len(secret)} bytes; give a secret of 1 to 64 bytes, best 32 random ones")
    return hashlib.blake2b(text.encode(), key=secret).digest()


def read_dicom(folder: Path, plane: Plane | None, on_skip: OnSkip = refuse, *, key: str) -> Iterator[RawImage]:
    """Yield every ultrasound image, and every frame of every cine, of the DICOM files anywhere under a folder.

    `load()` decodes the pixels, one frame at a time. Passed to `on_skip` are: files that `find_ultrasound` does not
    return; files in a folder of no class, or named after the patient; files with contradictory spacings, which are
    kept without a pixel size; and, at the end, patients whose identity is doubtful.

    Args:
        plane: the class of all images; None where each file is in a folder named after its class.
        key: the secret of all pseudonyms; the same key gives the same pseudonyms again.

    Raises:
        SourceError: if there is no key, no folder, or no DICOM file.
    """
    keyed_digest("", key)
    patients = DicomPatients()

    def convert(file: Ultrasound) -> list[RawImage]:
        patients.add(file)
        return _read_images(file, plane or _class_of(folder, file), key, on_skip)

    for images in convert_each(find_ultrasound(folder, on_skip), convert, on_skip):
        yield from images
    for line in patients.doubts():
        on_skip(PatientDoubt(line))


def _class_of(folder: Path, file: Ultrasound) -> Plane:
    """Return the class that names the folder of a file; it is written into image sets, so it must not be a patient."""
    path = file.path
    if path.parent == folder:
        raise SourceError(f"{path}: is in no class folder; move it into one named after its class, or set plane=...")
    name = folder_class(path.parent)
    patient, *names = (
        comparable_word(attribute_text(file.header, keyword)) for keyword in ("PatientID", "PatientName")
    )
    words = {word for one in names for word in re.split(r"[\s^=]+", one) if len(word) > 2}
    if comparable_word(name) == patient or words & set(comparable_word(name).split()):
        raise SourceError(f"{path}: its folder is named after the patient; name it after the class, or set plane=...")
    if EXPORTED.fullmatch(name):
        raise SourceError(f"{path}: its folder {name} is named by an export; name it after the class, or set plane=...")
    return name


def _read_images(file: Ultrasound, plane: Plane, key: str, on_skip: OnSkip) -> list[RawImage]:
    path, header = file.path, file.header
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
    patient_pseudonym = pseudonym(patient, key)
    name = f"{patient_pseudonym}_{keyed_digest(instance, key).hex()[:8]}"
    return [
        RawImage(
            f"{name}_f{index:04d}" if file.frames > 1 else name,
            plane,
            "dicom",
            site or "unknown",
            patient_pseudonym,
            partial(_load, path, index),
            machine=f"{maker} {model}".strip(),
            pixel_size_mm=size,
            path=path,
            number_pseudonym=pseudonym(plain_number(patient), key),
        )
        for index in range(file.frames)
    ]


def pixel_size_mm(header: Dataset) -> tuple[float | None, str]:
    """Return the mm per pixel, or None, and a description of contradictory spacings, or "".

    From the 2D tissue regions in centimetres (PS3.3 C.8.5.5), where there are any; else from PixelSpacing. Not from
    ImagerPixelSpacing: it refers to a detector, which ultrasound has not.
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
    """Return the frames of a file; cached for the frames of a cine that are loaded one after the other."""
    return locate_frames(path)


def _load(path: Path, index: int) -> PixelsAndMask:
    try:
        frames = _frames(path, path.stat().st_mtime_ns)
    except OSError:
        frames = locate_frames(path)  # raises the error
    try:
        return to_gray(decode_frame(frames, index), frames.header), None
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from error
