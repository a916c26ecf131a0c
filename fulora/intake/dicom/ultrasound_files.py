"""The ultrasound images of a folder, for all commands that read DICOM: check, curate and deidentify.

Files are recognised by their content, whatever their endings. Every file is one of three: an ultrasound image; a file
without one, reported as `PassedOver` (DICOMDIR, reports, PDF, presentation states, images of other modalities such as
secondary captures, and other files: viewers, read-mes); or an error, reported as well (damaged, of a wrong length,
without required attributes, a second copy, or only named like DICOM).
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
from fulora.intake.picture_files import is_dicom
from fulora.intake.raw_image import FileNote, OnSkip, PassedOver, SourceError, path_within

ULTRASOUND = ("US", "IVUS")
NAMED_DICOM = re.compile(r"(\.(dcm|dicom|dic|ima|\d+))?", re.IGNORECASE)
"""Endings of DICOM files: none, those of viewers, and the last number of a UID."""

NOT_DICOM = "not a DICOM file"
NO_PREAMBLE = re.compile(rb"[\x02\x08]\x00[\x00-\x20]\x00([A-Z]{2}|..\x00\x00)", re.DOTALL)
"""Start of a data set without the file's first 132 bytes: an element of group 2 or 8, in little endian."""


@dataclass(frozen=True)
class Ultrasound:
    """An ultrasound image or cine: its attributes before the pixels, and its number of frames.

    Attributes:
        contradictions: attributes that contradict the pixels; "" if there are none.
    """

    path: Path
    header: Dataset
    frames: int
    contradictions: str


def find_ultrasound(folder: Path, on_skip: OnSkip) -> Iterator[Ultrasound]:
    """Yield every ultrasound image below a folder, sorted by path; all other files are passed to `on_skip`.

    Hidden files and folders, and `__MACOSX`, are ignored, but DICOM files among them are reported as passed over.

    Raises:
        SourceError: if there is no folder, or no ultrasound image in it.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: not a folder; expected one with DICOM files")
    seen: dict[str, Path] = {}
    passed: list[str] = []
    n_errors = 0
    for path in sorted(_files(folder, on_skip)):
        try:
            result = _examine(path, folder)
            if isinstance(result, Ultrasound):
                _refuse_copy(result, seen)
        except SourceError as error:
            n_errors += 1
            on_skip(str(error))
        except BROKEN as error:
            n_errors += 1
            on_skip(f"{path}: cannot be read as DICOM ({error}); replace or remove it")
        else:
            if isinstance(result, Ultrasound):
                if result.contradictions:
                    on_skip(FileNote(f"{path}: {result.contradictions}"))
                yield result
            elif result is not None:
                passed.append(result)
                on_skip(result)
    if not seen and not n_errors:
        raise SourceError(_describe_nothing(folder, passed))


def _refuse_copy(image: Ultrasound, seen: dict[str, Path]) -> None:
    uid = attribute_text(image.header, "SOPInstanceUID")
    if uid in seen:
        is_copy = _same_pixels(image.path, seen[uid])
        what = "; remove the copy" if is_copy else ", but other pixels: two images have one id; export them again"
        raise SourceError(f"{image.path}: the same SOPInstanceUID as {seen[uid].name} before it{what}")
    seen[uid] = image.path


def _same_pixels(path: Path, other: Path) -> bool:
    one, two = locate_frames(path), locate_frames(other)
    same = (np.array_equal(decode_frame(one, index), decode_frame(two, index)) for index in range(len(one)))
    return len(one) == len(two) and all(same)


def _describe_nothing(folder: Path, passed: list[str]) -> str:
    dicom = [line for line in passed if not line.endswith(NOT_DICOM)]
    if not dicom:
        return f"{folder}: no DICOM files, which have 'DICM' at byte 128"
    return f"{folder}: no ultrasound image among its files; passed over: {len(passed)}, such as {dicom[0]}"


def _files(folder: Path, on_skip: OnSkip) -> Iterator[Path]:
    def report(error: OSError) -> None:
        on_skip(f"{error.filename}: cannot be opened ({error.strerror})")

    for parent, folders, names in os.walk(folder, onerror=report):
        for path in [Path(parent, name) for name in (*folders, *names)]:
            if path.is_file():
                yield path
            elif (path.is_symlink() or not path.is_dir()) and not path.name.startswith("."):
                on_skip(f"{path}: a link to a folder, a broken link, or no regular file; remove it")


def _examine(path: Path, folder: Path) -> Ultrasound | PassedOver | None:
    """Return an ultrasound image, or why a file is passed over; None for a hidden file that is not DICOM."""
    name = path.relative_to(folder)
    if any(part.startswith(".") or part == "__MACOSX" for part in name.parts):
        return PassedOver(f"{path}: passed over: a hidden file") if is_dicom(path) else None
    if not _check_dicom(path_within(folder, str(name))):
        return PassedOver(f"{path}: passed over: {NOT_DICOM}")
    return _ultrasound(path)


def _check_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its content; refuse one that only looks like DICOM."""
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
            raise SourceError(f"{path}: no pixels (SOP class {name}): not an image, or truncated")
        return PassedOver(f"{path}: passed over: holds no image ({name})")
    modality = attribute_text(header, "Modality")
    if not modality:
        raise SourceError(f"{path}: no Modality ({name}); expected ultrasound ({' or '.join(ULTRASOUND)})")
    if modality not in ULTRASOUND:
        expected = " or ".join(ULTRASOUND)
        return PassedOver(f"{path}: passed over: modality '{modality}' ({name}), not ultrasound ({expected})")
    if is_missing(attribute_text(header, "PatientID")):
        raise SourceError(f"{path}: no PatientID; patients are indistinguishable, so splits would leak")
    if not attribute_text(header, "SOPInstanceUID"):
        raise SourceError(f"{path}: no SOPInstanceUID, which names the image")
    frames = locate_frames(path)
    return Ultrasound(path, header, len(frames), contradicted_attributes(frames))


def attribute_text(header: Dataset, keyword: str) -> str:
    """Return an attribute as stripped text; "" if it is missing or empty."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()
