"""Audit of what curation removed from images of patients: counts, one line per image, and contact sheets.

The sheets show every image once: before and after if something was removed, otherwise as it is.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora.data.pictures.pixels import pixel_digest
from fulora.intake.curate.curate import CuratedImage
from fulora.intake.deidentify.burned_in_text import CleanedPicture, Removal
from fulora.intake.deidentify.contact_sheets import CHANGES, PLAIN, ContactSheets, mark_removed
from fulora.intake.deidentify.review import CLEANED, PRIVATE, REVIEW, UNCHANGED

WARNING = """The sheets and lines in this folder show what was removed, including names: keep them private.
Remove this folder before you pass the image set on. `fulora export` leaves it out.
"""


class CurationAudit:
    """Records one image after the other; lines and full pages are written at once.

    Args:
        folder: created when there is something to write.
        searched: description of where text was searched, and by which detector.
    """

    def __init__(self, folder: Path, searched: str) -> None:
        self.folder = folder
        self.searched = searched
        self.sites: dict[str, Counter[str]] = defaultdict(Counter)
        self.changed = ContactSheets(folder, "changed", CHANGES)
        self.unchanged = ContactSheets(folder, "unchanged", PLAIN)
        self.shown: dict[str, tuple[str, str]] = {}

    def note(self, image: CuratedImage) -> None:
        """Record what was removed from an image; nothing if no text was searched."""
        if image.cleaned is None or image.removal is None:
            return
        row = image.removal
        self.folder.mkdir(parents=True, exist_ok=True)
        shown_as, sheet = self._show(image.before, image.cleaned, row)
        with (self.folder / "deidentification.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row) | {"shown_as": shown_as, "sheet": sheet}) + "\n")
        site = self.sites[f"{image.picture.row.source} {row.site}".strip()]
        site["images"] += 1
        site["with_removal"] += row.share > 0
        site["without_sector"] += not row.confident
        site["outside_px"] += row.outside_px
        site["inside_px"] += row.inside_px

    def _show(self, before: UInt8[np.ndarray, "h w"], cleaned: CleanedPicture, row: Removal) -> tuple[str, str]:
        """Add an image to a sheet, unless an identical one is there; return the id of the shown image, and its page."""
        key = pixel_digest(before)
        if key not in self.shown:
            note = "" if row.confident else "no sector found"
            if row.share > 0:
                tiles = (before, cleaned.pixels, mark_removed(before, cleaned.outside | cleaned.inside))
                page = self.changed.add(row.image_id, tiles, f"{row.site}  {row.share:.2%} removed  {note}")
            else:
                page = self.unchanged.add(row.image_id, (cleaned.pixels,), note)
            self.shown[key] = row.image_id, page
        return self.shown[key]

    def write(self, left_out: Sequence[str], noted: Sequence[str] = ()) -> None:
        """Write the last pages, `summary.json` and `review.json`; also `left_out.txt` and `noted.txt` if not empty."""
        for name, lines in (("left_out.txt", left_out), ("noted.txt", noted)):
            if lines:
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        if not self.sites:
            return
        self.changed.close()
        self.unchanged.close()
        (self.folder / "summary.json").write_text(
            json.dumps(dict(sorted(self.sites.items())), indent=1), encoding="utf-8"
        )
        (self.folder / PRIVATE).write_text(WARNING, encoding="utf-8")
        review = {
            "state": CLEANED,
            "text removed": self.searched,
            "counts": self.counts(),
            "sheets": self.changed.pages | self.unchanged.pages,
        }
        (self.folder / REVIEW).write_text(json.dumps(review, indent=1), encoding="utf-8")

    def counts(self) -> dict[str, int]:
        """Return the number of images by state, and of different images."""
        images = sum(site["images"] for site in self.sites.values())
        cleaned = sum(site["with_removal"] for site in self.sites.values())
        return {"images": images, CLEANED: cleaned, UNCHANGED: images - cleaned, "different pictures": len(self.shown)}

    def summary(self) -> str:
        """Return the counts as text."""
        counts = self.counts()
        return f"{counts['images']} images: {counts[CLEANED]} {CLEANED}; {counts[UNCHANGED]} {UNCHANGED}"
