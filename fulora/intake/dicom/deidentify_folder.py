"""De-identified copies of all DICOM files of a folder; if one file fails, nothing is written.

A person has to check the pixels, with the review beside the new folder.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from fulora import progress
from fulora.data.label_set import LabelSet, shipped_class
from fulora.files import atomic_folder
from fulora.intake.deidentify.burned_in_text import FindWords, TextRegion, describe_search, remove_overlays
from fulora.intake.deidentify.review import EXPORT_LIST, ExportReview, SearchedFrames, review_folder
from fulora.intake.dicom.confidentiality_profile import ProfileError, write_deidentified
from fulora.intake.dicom.patients import DicomPatients
from fulora.intake.dicom.ultrasound_files import find_ultrasound
from fulora.intake.raw_image import FileNote, PassedOver
from fulora.progress import track


def deidentify_folder(
    folder: Path,
    to: Path,
    key: str,
    where: TextRegion | None,
    find_words: FindWords | None,
    labels: LabelSet | None = None,
) -> ExportReview:
    """Write de-identified copies `0000001.dcm`, ... of all files below a folder, sorted by name, and `audit.json`.

    The copies' names hold no information. Folders named after a class are kept, so that the copies can be curated; no
    other name is, as it may be a patient's. If one file fails, `to` is not created. The review is written beside `to`.

    Args:
        where: where burned-in text is removed; None keeps the pixels.
        labels: whose classes folders may be named after; by default those of the shipped label sets.

    Raises:
        ProfileError: if `to` or its review exists or is inside of the folder, there are no files, or one of them is not
            a DICOM image.
    """
    beside = review_folder(to)
    for new in (to, beside):
        if new.exists():
            raise ProfileError(f"{new}: already exists; name a new folder")
    if to.resolve().is_relative_to(folder.resolve()):
        raise ProfileError(f"{to}: is inside of {folder}, which is not de-identified; name a folder outside")
    files = files_to_deidentify(folder)
    with atomic_folder(to) as copies, atomic_folder(beside) as sheets:
        review = ExportReview(sheets, describe_search(where, find_words))
        _write(files, copies, key, _TextSearch(where, find_words), review, labels)
        review.write(copies / EXPORT_LIST)
    return review


@dataclass
class _TextSearch:
    where: TextRegion | None
    find_words: FindWords | None
    frames: SearchedFrames = field(default_factory=SearchedFrames)

    def __call__(self, frame: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
        cleaned = remove_overlays(frame, self.where or "outside", self.find_words)
        removed = np.asarray(~cleaned.sector | cleaned.inside)
        self.frames.before.append(frame)
        self.frames.removed.append(removed)
        return removed


def _write(
    files: Sequence[Path], work: Path, key: str, search: _TextSearch, review: ExportReview, labels: LabelSet | None
) -> None:
    rows = {}
    for number, path in enumerate(track(files, "DICOM files"), 1):
        kept = labels.named(path.parent.name) if labels else shipped_class(path.parent.name)
        name = f"{kept}/{number:07d}.dcm" if kept else f"{number:07d}.dcm"
        find_text = search if search.where else None
        (work / name).parent.mkdir(exist_ok=True)
        search.frames = SearchedFrames()
        try:
            audit = write_deidentified(path, work / name, key=key, clean=find_text, pixels_unchecked=find_text is None)
        except ProfileError as error:
            raise ProfileError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
        rows[name] = asdict(audit)
        review.add(name, work / name, search.frames if search.where else None)
    (work / EXPORT_LIST).write_text(json.dumps(rows, indent=1), encoding="utf-8")


def files_to_deidentify(folder: Path) -> list[Path]:
    """Return the ultrasound images below a folder, sorted by path.

    Files that are passed over, contradictory attributes, and patients whose identity is doubtful are printed.

    Raises:
        ProfileError: if files cannot be used; all of them are named.
        SourceError: if there is no folder, or no ultrasound image in it.
    """
    messages: list[str] = []
    images, patients = [], DicomPatients()
    for image in find_ultrasound(folder, messages.append):
        images.append(image.path)
        patients.add(image)
    passed = [message for message in messages if isinstance(message, PassedOver)]
    notes = [message for message in messages if isinstance(message, FileNote) and message not in passed]
    errors = [message for message in messages if not isinstance(message, FileNote)]
    doubts = [*patients.spellings(), *patients.doubts()]
    _print(f"passed over: {len(passed)} files without an ultrasound image", passed)
    _print(f"read as their pixels are, not as their attributes say: {len(notes)} files", notes)
    _print(f"check the identity of these patients, which pseudonyms hide: {len(doubts)} doubts", doubts)
    if errors:
        raise ProfileError("\n".join([f"{len(errors)} files cannot be used; nothing is written:", *errors]))
    return images


def _print(title: str, lines: Sequence[str]) -> None:
    if lines:
        progress.console.print("\n  ".join([title, *lines]), soft_wrap=True, highlight=False, markup=False)
