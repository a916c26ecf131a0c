"""Which files of a folder are ultrasound images, for all that read DICOM: check, curate and deidentify.

Files are known by their content, whatever their endings. Every file is one of three: an ultrasound image; a file that
holds none, which is passed over and told as `Noted` (DICOMDIR, reports, PDF, presentation states, images of other
modalities such as secondary captures, and what is no DICOM: a viewer, a read-me); or an error, which is told as well
(damaged, of another length than its header says, without the attributes that every image needs, a second copy, or
named like DICOM without being it).
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID, MediaStorageDirectoryStorage

from fulora.intake.raw import Complain, Noted, SourceError, within
from fulora.intake.sources.dicom_frames import frames_of
from fulora.intake.sources.dicom_header import BROKEN, read_header

ULTRASOUND = ("US", "IVUS")
NAMED_DICOM = re.compile(r"(\.(dcm|dicom|dic|ima|\d+))?", re.IGNORECASE)
"""Endings of DICOM files: none, those of viewers, and the last number of a UID."""

NO_PREAMBLE = re.compile(rb"[\x02\x08]\x00[\x00-\x20]\x00([A-Z]{2}|..\x00\x00)", re.DOTALL)
"""How a data set without the file's first 132 bytes begins: an element of group 2 or 8, in little endian."""


@dataclass(frozen=True)
class Ultrasound:
    """An ultrasound image or cine: its attributes before the pixels, and how many frames its pixels hold."""

    path: Path
    header: Dataset
    frames: int


def ultrasound_in(folder: Path, complain: Complain) -> Iterator[Ultrasound]:
    """Every ultrasound image below a folder, in the order of the paths; all other files are told to `complain`.

    Hidden files and folders, and `__MACOSX`, do not count.

    Raises:
        SourceError: no folder, or no DICOM file in it.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: not a folder; expected one with DICOM files")
    seen: dict[str, Path] = {}
    any_dicom = False
    for path in sorted(_files(folder, complain)):
        try:
            if not _is_dicom(within(folder, str(path.relative_to(folder)))):
                complain(Noted(f"{path}: passed over: not a DICOM file"))
                continue
            any_dicom = True
            found = _ultrasound(path)
            uid = text(found.header, "SOPInstanceUID") if isinstance(found, Ultrasound) else ""
            if uid in seen:
                raise SourceError(f"{path}: the same SOPInstanceUID as {seen[uid].name} before it; remove the copy")
        except SourceError as error:
            complain(str(error))
        except BROKEN as error:
            complain(f"{path}: cannot be read as DICOM ({error}); replace or remove it")
        else:
            if isinstance(found, Noted):
                complain(found)
                continue
            seen[uid] = path
            yield found
    if not any_dicom:
        raise SourceError(f"{folder}: no DICOM files; they are known by 'DICM' at byte 128, whatever their names")


def _files(folder: Path, complain: Complain) -> Iterator[Path]:
    def shut(error: OSError) -> None:
        complain(f"{error.filename}: cannot be opened ({error.strerror})")

    for place, folders, names in os.walk(folder, onerror=shut):
        folders[:] = [name for name in folders if not _hidden(name)]
        for path in [Path(place, name) for name in (*folders, *names) if not _hidden(name)]:
            if path.is_file():
                yield path
            elif path.is_symlink() or not path.is_dir():
                complain(f"{path}: a link to a folder or to nothing, or no regular file; remove it")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


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


def _ultrasound(path: Path) -> Ultrasound | Noted:
    header, pixels = read_header(path)
    kind = str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")
    name = UID(kind).name or "of no SOP class"
    if kind == MediaStorageDirectoryStorage:
        return Noted(f"{path}: passed over: a DICOMDIR, which lists files")
    if pixels is None:
        if "Image" in name or "US Volume" in name or "Rows" in header:
            raise SourceError(f"{path}: no pixels (SOP class {name}): not a picture, or cut short")
        return Noted(f"{path}: passed over: holds no image ({name})")
    modality = text(header, "Modality")
    if not modality:
        raise SourceError(f"{path}: no Modality ({name}); expected ultrasound ({' or '.join(ULTRASOUND)})")
    if modality not in ULTRASOUND:
        return Noted(f"{path}: passed over: modality '{modality}' ({name}), not ultrasound ({' or '.join(ULTRASOUND)})")
    if not text(header, "PatientID"):
        raise SourceError(f"{path}: no PatientID; patients cannot be told apart, so splits would leak")
    if not text(header, "SOPInstanceUID"):
        raise SourceError(f"{path}: no SOPInstanceUID; it names the picture")
    return Ultrasound(path, header, len(frames_of(path)))


def text(header: Dataset, keyword: str) -> str:
    """An attribute as text without blanks around it; "" where it is missing or empty."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()
