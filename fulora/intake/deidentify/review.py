"""The review of a DICOM export, by which a person checks that no burned-in text is left.

It is beside the export, because its sheets show what was removed: `clean-review/` of `clean/`, with pages of every
frame before and after, `review.json` with the digest of every file, and later the confirmations.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from pydicom import dcmread
from pydicom.pixels import pixel_array

from fulora.digests import file_digest
from fulora.intake.deidentify.contact_sheets import CHANGES, FRAMES, ContactSheets, Tile, mark_removed
from fulora.intake.dicom.pixels import to_gray

REVIEW = "review.json"
SHEETS = "sheets"
EXPORT_LIST = "audit.json"
"""The file of an export with what was done to each of its files."""
CONFIRMATIONS = "confirmations.jsonl"
PRIVATE = "KEEP-PRIVATE.txt"
WARNING = """The sheets show what was removed, including names: keep this folder private.
It does not belong to the export.
"""
CLEANED = "cleaned automatically, not checked"
UNCHANGED = "nothing removed, not checked"


def review_folder(folder: Path) -> Path:
    """Return the folder of the review of an export, or of the confirmations of an image set, which is beside it."""
    folder = folder.absolute()
    return folder.with_name(f"{folder.name}-review")


@dataclass(frozen=True)
class ReviewedFile:
    """One file of an export.

    Attributes:
        frames, frames_changed: number of frames, and of those in which something was removed.
        removed_px: removed pixels that were not black, over all frames.
    """

    state: str
    sha256: str
    frames: int
    frames_changed: int
    removed_px: int
    sheets: tuple[str, ...]


@dataclass
class SearchedFrames:
    """The frames of one file before the removal of text, and the removed pixels."""

    before: list[UInt8[np.ndarray, "h w"]] = field(default_factory=list)
    removed: list[Bool[np.ndarray, "h w"]] = field(default_factory=list)


class ExportReview:
    """Adds every written file of an export to contact sheets.

    Args:
        folder: of the review; it must exist.
        searched: description of where text was searched, and by which detector.
    """

    def __init__(self, folder: Path, searched: str) -> None:
        self.folder = folder
        self.searched = searched
        self.files: dict[str, ReviewedFile] = {}
        self.pictures = ContactSheets(folder / SHEETS, "pictures", CHANGES)
        self.cines = ContactSheets(folder / SHEETS, "frames", FRAMES)

    def add(self, name: str, written: Path, seen: SearchedFrames | None) -> None:
        """Add every frame of a file: before, as written, and what was removed.

        Args:
            seen: the frames before; None if no text was searched.
        """
        pages, changed, removed_px, number = [], 0, 0, 0
        frames = list(read_shown_frames(written))
        sheets = self.pictures if len(frames) == 1 else self.cines
        for number, after in enumerate(frames):
            before = after if seen is None else seen.before[number]
            removed = np.zeros(after.shape[:2], bool) if seen is None else seen.removed[number] & (before > 0)
            changed += bool(removed.any())
            removed_px += int(removed.sum())
            note = f"frame {number + 1} of {len(frames)}" if len(frames) > 1 else ""
            note += "" if removed.any() else "  (nothing removed)"
            pages.append(sheets.add(name, (before, after, mark_removed(before, removed)), note.strip()))
        state = CLEANED if changed else UNCHANGED
        self.files[name] = ReviewedFile(
            state, file_digest(written), len(frames), changed, removed_px, tuple(dict.fromkeys(pages))
        )

    def write(self, *others: Path) -> None:
        """Write the last pages, and `review.json`."""
        self.pictures.close()
        self.cines.close()
        content = {
            "state": CLEANED,
            "text removed": self.searched,
            "counts": self.counts(),
            "files": {name: asdict(row) for name, row in self.files.items()},
            "other files": {path.name: file_digest(path) for path in others},
            "sheets": self.pictures.pages | self.cines.pages,
        }
        (self.folder / PRIVATE).write_text(WARNING, encoding="utf-8")
        (self.folder / REVIEW).write_text(json.dumps(content, indent=1), encoding="utf-8")

    @property
    def pages(self) -> int:
        """The number of written sheets."""
        return len(self.pictures.pages) + len(self.cines.pages)

    def counts(self) -> dict[str, int]:
        """Return the number of files and frames by state."""
        cleaned = sum(row.state == CLEANED for row in self.files.values())
        return {
            "files": len(self.files),
            CLEANED: cleaned,
            UNCHANGED: len(self.files) - cleaned,
            "frames": sum(row.frames for row in self.files.values()),
            "frames changed": sum(row.frames_changed for row in self.files.values()),
        }


def read_shown_frames(path: Path) -> Iterator[Tile]:
    """Yield the frames of a written file for display: gray, or RGB if it has colours."""
    dataset = dcmread(path)
    for index in range(int(dataset.get("NumberOfFrames") or 1)):
        frame = pixel_array(dataset, index=index)
        yield frame if frame.ndim == 3 else to_gray(frame, dataset)
