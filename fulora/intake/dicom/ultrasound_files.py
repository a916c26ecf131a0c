"""Which files of a folder are ultrasound images, for all that read DICOM: check, curate and deidentify.

Files are known by their content, whatever their endings. Every file is one of three: an ultrasound image; a file that
holds none, which is told as `PassedOver` (DICOMDIR, reports, PDF, presentation states, images of other
modalities such as secondary captures, and what is no DICOM: a viewer, a read-me); or an error, which is told as well
(damaged, of another length than its header says, without the attributes that every image needs, a second copy, or
named like DICOM without being it).
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID, MediaStorageDirectoryStorage

from fulora.data.tables.cells import is_missing
from fulora.intake.dicom.frames import locate_frames
from fulora.intake.dicom.header import BROKEN, read_header
from fulora.intake.dicom.pixels import contradicted_attributes, decode_frame
from fulora.intake.raw_image import FileNote, OnSkip, PassedOver, SourceError, path_within

ULTRASOUND = ("US", "IVUS")
NAMED_DICOM = re.compile(r"(\.(dcm|dicom|dic|ima|\d+))?", re.IGNORECASE)
"""Endings of DICOM files: none, those of viewers, and the last number of a UID."""

NOT_DICOM = "not a DICOM file"
NO_PREAMBLE = re.compile(rb"[\x02\x08]\x00[\x00-\x20]\x00([A-Z]{2}|..\x00\x00)", re.DOTALL)
"""How a data set without the file's first 132 bytes begins: an element of group 2 or 8, in little endian."""


@dataclass(frozen=True)
class Ultrasound:
    """An ultrasound image or cine: its attributes before the pixels, and how many frames its pixels hold.

    Attributes:
        contradictions: which attributes its pixels contradict; "" where none.
    """

    path: Path
    header: Dataset
    frames: int
    contradictions: str


def find_ultrasound(folder: Path, on_skip: OnSkip) -> Iterator[Ultrasound]:
    """Every ultrasound image below a folder, in the order of the paths; all other files are told to `on_skip`.

    Hidden files and folders, and `__MACOSX`, do not count; DICOM files among them are passed over by name.

    Raises:
        SourceError: no folder, no DICOM file in it, or only such as are passed over.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: not a folder; expected one with DICOM files")
    seen: dict[str, Path] = {}
    passed: list[str] = []
    wrong = 0
    for path in sorted(_files(folder, on_skip)):
        try:
            found = _looked_at(path, folder)
            if isinstance(found, Ultrasound):
                _check_new(found, seen)
        except SourceError as error:
            wrong += 1
            on_skip(str(error))
        except BROKEN as error:
            wrong += 1
            on_skip(f"{path}: cannot be read as DICOM ({error}); replace or remove it")
        else:
            if isinstance(found, Ultrasound):
                if found.contradictions:
                    on_skip(FileNote(f"{path}: {found.contradictions}"))
                yield found
            elif found is not None:
                passed.append(found)
                on_skip(found)
    if not seen and not wrong:
        raise SourceError(_nothing(folder, passed))


def _check_new(found: Ultrasound, seen: dict[str, Path]) -> None:
    uid = attribute_text(found.header, "SOPInstanceUID")
    if uid in seen:
        copied = _same_pixels(found.path, seen[uid])
        what = "; remove the copy" if copied else ", but its pixels differ: two pictures have one id; export them again"
        raise SourceError(f"{found.path}: the same SOPInstanceUID as {seen[uid].name} before it{what}")
    seen[uid] = found.path


def _same_pixels(path: Path, other: Path) -> bool:
    one, two = locate_frames(path), locate_frames(other)
    same = (np.array_equal(decode_frame(one, index), decode_frame(two, index)) for index in range(len(one)))
    return len(one) == len(two) and all(same)


def _nothing(folder: Path, passed: list[str]) -> str:
    dicom = [line for line in passed if not line.endswith(NOT_DICOM)]
    if not dicom:
        return f"{folder}: no DICOM files; they are known by 'DICM' at byte 128, whatever their names"
    return f"{folder}: no ultrasound image among its files; passed over: {len(passed)}, such as {dicom[0]}"


def _files(folder: Path, on_skip: OnSkip) -> Iterator[Path]:
    def shut(error: OSError) -> None:
        on_skip(f"{error.filename}: cannot be opened ({error.strerror})")

    for place, folders, names in os.walk(folder, onerror=shut):
        for path in [Path(place, name) for name in (*folders, *names)]:
            if path.is_file():
                yield path
            elif (path.is_symlink() or not path.is_dir()) and not path.name.startswith("."):
                on_skip(f"{path}: a link to a folder or to nothing, or no regular file; remove it")


def _looked_at(path: Path, folder: Path) -> Ultrasound | PassedOver | None:
    """What a file is; None for a hidden one that is no DICOM."""
    name = path.relative_to(folder)
    if any(part.startswith(".") or part == "__MACOSX" for part in name.parts):
        return PassedOver(f"{path}: passed over: a hidden file") if _magic(path) else None
    if not _is_dicom(path_within(folder, str(name))):
        return PassedOver(f"{path}: passed over: {NOT_DICOM}")
    return _ultrasound(path)


def _magic(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its content; False for one that may lie beside.

    Raises:
        SourceError: it is not, but seems to be meant as DICOM: a data set without its first 132 bytes, or a name like
            DICOM's with content that is no text.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if head[128:132] == b"DICM":
        return True
    if NO_PREAMBLE.match(head):
        raise SourceError(f"{path}: a DICOM data set without the first 132 bytes of a file; export it as a DICOM file")
    if NAMED_DICOM.fullmatch(path.suffix) and (path.suffix or not head or b"\0" in head):
        raise SourceError(f"{path}: not a DICOM file, though it is named like one; replace, rename or remove it")
    return False


def _ultrasound(path: Path) -> Ultrasound | PassedOver:
    header, pixels = read_header(path)
    kind = str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")
    name = UID(kind).name or "of no SOP class"
    if kind == MediaStorageDirectoryStorage:
        return PassedOver(f"{path}: passed over: a DICOMDIR, which lists files")
    if pixels is None:
        if "Image" in name or "US Volume" in name or "Rows" in header:
            raise SourceError(f"{path}: no pixels (SOP class {name}): not a picture, or cut short")
        return PassedOver(f"{path}: passed over: holds no image ({name})")
    modality = attribute_text(header, "Modality")
    if not modality:
        raise SourceError(f"{path}: no Modality ({name}); expected ultrasound ({' or '.join(ULTRASOUND)})")
    if modality not in ULTRASOUND:
        expected = " or ".join(ULTRASOUND)
        return PassedOver(f"{path}: passed over: modality '{modality}' ({name}), not ultrasound ({expected})")
    if is_missing(attribute_text(header, "PatientID")):
        raise SourceError(f"{path}: no PatientID; patients cannot be told apart, so splits would leak")
    if not attribute_text(header, "SOPInstanceUID"):
        raise SourceError(f"{path}: no SOPInstanceUID; it names the picture")
    frames = locate_frames(path)
    return Ultrasound(path, header, len(frames), contradicted_attributes(frames))


def attribute_text(header: Dataset, keyword: str) -> str:
    """An attribute as text without blanks around it; "" where it is missing or empty."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()
