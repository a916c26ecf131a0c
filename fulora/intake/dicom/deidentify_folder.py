"""Write a folder of DICOM files back without names: every file cleaned, or none of it in the new folder.

Nobody has looked at the pixels then: beside the new folder stands its review, with which a person does.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from fulora.data.label_set import LabelSet, shipped_class
from fulora.intake.deidentify.burned_in_text import FindWords, TextRegion, describe_search, remove_overlays
from fulora.intake.deidentify.review import EXPORT_LIST, ExportReview, SearchedFrames, review_folder
from fulora.intake.dicom.confidentiality_profile import FileAudit, FindText, ProfileError, write_deidentified
from fulora.intake.dicom.export_inputs import files_to_deidentify
from fulora.progress import track
from fulora.workspace import scratch


def _written(path: Path, target: Path, key: str, overlays: FindText | None) -> FileAudit:
    try:
        return write_deidentified(path, target, key=key, clean=overlays, pixels_unchecked=overlays is None)
    except ProfileError as error:
        raise ProfileError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def deidentify_folder(
    folder: Path,
    to: Path,
    key: str,
    where: TextRegion | None,
    find_words: FindWords | None,
    labels: LabelSet | None = None,
) -> ExportReview:
    """Cleaned copies `0000001.dcm`, ... of every file below a folder, in the order of their names, and `audit.json`.

    The copies' names say nothing; which was which is told to nobody. Folders named after a class are kept, so that the
    copies can be curated; no other name is, as it may be a patient's. A file that cannot be cleaned stops it all, and
    `to` is not made. The review of the copies is made beside `to`.

    Args:
        where: where burned-in text is removed; None passes pixels on as they are.
        find_words: a text detector, whose findings are removed wherever they are.
        labels: whose classes folders may be named after; by default those of the shipped label sets.

    Returns:
        The review of the export: what was done to every copy, and the sheets that show it.

    Raises:
        ProfileError: `to` or its review is there or lies in the folder, there are no files, or a file that is no DICOM
            image.
    """
    beside = review_folder(to)
    for new in (to, beside):
        if new.exists():
            raise ProfileError(f"{new}: is there already; name a folder that is not")
    if to.resolve().is_relative_to(folder.resolve()):
        raise ProfileError(f"{to}: lies in {folder}, which is not clean; name a folder outside")
    files = files_to_deidentify(folder)
    works = [scratch(to), scratch(beside)]
    for work in works:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
    try:
        review = ExportReview(works[1], describe_search(where, find_words))
        _write(files, works[0], key, _Search(where, find_words), review, labels)
        review.write(works[0] / EXPORT_LIST)
        works[1].rename(beside)
        works[0].rename(to)
    finally:
        for work in works:
            shutil.rmtree(work, ignore_errors=True)
    return review


@dataclass
class _Search:
    """Looks for text in one frame after the other, and keeps what it saw of a file for the review."""

    where: TextRegion | None
    find_words: FindWords | None
    seen: SearchedFrames = field(default_factory=SearchedFrames)

    def __call__(self, frame: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
        found = remove_overlays(frame, self.where or "outside", self.find_words)
        removed = np.asarray(~found.sector | found.inside)
        self.seen.before.append(frame)
        self.seen.removed.append(removed)
        return removed


def _write(
    files: Sequence[Path], work: Path, key: str, search: _Search, review: ExportReview, labels: LabelSet | None
) -> None:
    rows = {}
    for number, path in enumerate(track(files, "DICOM files"), 1):
        kept = labels.named(path.parent.name) if labels else shipped_class(path.parent.name)
        name = f"{kept}/{number:07d}.dcm" if kept else f"{number:07d}.dcm"
        (work / name).parent.mkdir(exist_ok=True)
        search.seen = SearchedFrames()
        rows[name] = asdict(_written(path, work / name, key, search if search.where else None))
        review.add(name, work / name, search.seen if search.where else None)
    (work / EXPORT_LIST).write_text(json.dumps(rows, indent=1), encoding="utf-8")
