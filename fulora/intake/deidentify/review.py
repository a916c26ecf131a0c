"""What a person needs to check a DICOM export before anybody says that it holds no burned-in text.

The review stands beside the export, not in it, because its sheets show what was removed: `clean-review/` of `clean/`,
with pages of every frame before and after, `review.json` with the digest of every file, and later the confirmations.
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
"""The file of an export that says what was done to each of its pictures."""
CONFIRMATIONS = "confirmations.jsonl"
PRIVATE = "KEEP-PRIVATE.txt"
WARNING = """The sheets show what was removed, names among it: look at them, and keep this folder to yourselves.
It is no part of the export.
"""
CLEANED = "cleaned automatically, not checked"
UNCHANGED = "nothing removed, not checked"


def review_folder(folder: Path) -> Path:
    """Where the review of an export, or the confirmations of an image set, stand: beside it."""
    folder = folder.absolute()
    return folder.with_name(f"{folder.name}-review")


@dataclass(frozen=True)
class ReviewedFile:
    """One file of an export.

    Attributes:
        state: CLEANED or UNCHANGED.
        sha256: of the file as it was written.
        frames, frames_changed: pictures in it, and those in which something was removed.
        removed_px: pixels removed that were not black, over all frames.
        sheets: pages that show it.
    """

    state: str
    sha256: str
    frames: int
    frames_changed: int
    removed_px: int
    sheets: tuple[str, ...]


@dataclass
class SearchedFrames:
    """The frames of one file as they were shown to the text search, and where it found text."""

    before: list[UInt8[np.ndarray, "h w"]] = field(default_factory=list)
    removed: list[Bool[np.ndarray, "h w"]] = field(default_factory=list)


class ExportReview:
    """Shows every file of an export on sheets as it is written.

    Args:
        folder: where the review is written; it must be there.
        searched: where text was removed, and by which detector, in words.
    """

    def __init__(self, folder: Path, searched: str) -> None:
        self.folder = folder
        self.searched = searched
        self.files: dict[str, ReviewedFile] = {}
        self.pictures = ContactSheets(folder / SHEETS, "pictures", CHANGES)
        self.cines = ContactSheets(folder / SHEETS, "frames", FRAMES)

    def add(self, name: str, written: Path, seen: SearchedFrames | None) -> None:
        """Show every frame of a file: before, as it was written, and what was removed.

        Args:
            name: of the file in the export.
            written: the file; "after" is read from it.
            seen: the frames before; None where no text was looked for.
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
        """Write the last pages, and `review.json`.

        Args:
            others: files of the export that hold no picture.
        """
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
        """How many sheets have been written."""
        return len(self.pictures.pages) + len(self.cines.pages)

    def counts(self) -> dict[str, int]:
        """Files and frames by state."""
        cleaned = sum(row.state == CLEANED for row in self.files.values())
        return {
            "files": len(self.files),
            CLEANED: cleaned,
            UNCHANGED: len(self.files) - cleaned,
            "frames": sum(row.frames for row in self.files.values()),
            "frames changed": sum(row.frames_changed for row in self.files.values()),
        }


def read_shown_frames(path: Path) -> Iterator[Tile]:
    """The frames of a written file as they are shown: gray, or RGB where it has colours."""
    dataset = dcmread(path)
    for index in range(int(dataset.get("NumberOfFrames") or 1)):
        frame = pixel_array(dataset, index=index)
        yield frame if frame.ndim == 3 else to_gray(frame, dataset)
