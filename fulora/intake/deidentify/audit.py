"""What curation did to the pictures of people, for those who answer for it: counts, a line an image, and sheets.

The sheets show every picture once: those in which something was removed before and after, the others as they are.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora.data.pictures.pixels import pixel_digest
from fulora.intake.curate.curate import CuratedImage
from fulora.intake.deidentify.burned_in_text import CleanedPicture, Removal
from fulora.intake.deidentify.contact_sheets import CHANGES, PLAIN, ContactSheets, mark_removed
from fulora.intake.deidentify.review import CLEANED, PRIVATE, REVIEW, UNCHANGED

WARNING = """The sheets and lines here show what was removed, names among it: look at them, and keep them to yourselves.
Remove this folder before you pass the image set on. `fulora export` leaves it out.
"""


@dataclass
class SiteAudit:
    """Counts of one site."""

    images: int = 0
    with_removal: int = 0
    without_sector: int = 0
    outside_px: int = 0
    inside_px: int = 0


class CurationAudit:
    """Takes note of one cut after the other; lines and full pages are on disk at once.

    Args:
        folder: made when there is something to write.
        searched: where text was removed, and by which detector, in words.
    """

    def __init__(self, folder: Path, searched: str) -> None:
        self.folder = folder
        self.searched = searched
        self.sites: dict[str, SiteAudit] = defaultdict(SiteAudit)
        self.changed = ContactSheets(folder, "changed", CHANGES)
        self.unchanged = ContactSheets(folder, "unchanged", PLAIN)
        self.shown: dict[str, tuple[str, str]] = {}

    def note(self, cut: CuratedImage) -> None:
        """Take note of what was removed from a picture; nothing where nothing was looked for."""
        if cut.cleaned is None or cut.removal is None:
            return
        row = cut.removal
        self.folder.mkdir(parents=True, exist_ok=True)
        shown_as, sheet = self._show(cut.before, cut.cleaned, row)
        with (self.folder / "deidentification.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row) | {"shown_as": shown_as, "sheet": sheet}) + "\n")
        site = self.sites[f"{cut.picture.row.source} {row.site}".strip()]
        site.images += 1
        site.with_removal += row.share > 0
        site.without_sector += not row.confident
        site.outside_px += row.outside_px
        site.inside_px += row.inside_px

    def _show(self, before: UInt8[np.ndarray, "h w"], cleaned: CleanedPicture, row: Removal) -> tuple[str, str]:
        """Put a picture on a sheet, unless an identical one is there: the id that it is shown as, and its page."""
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
        """Write the last pages, `summary.json` and `review.json`; `left_out.txt` and `noted.txt` if they have lines."""
        for name, lines in (("left_out.txt", left_out), ("noted.txt", noted)):
            if lines:
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        if not self.sites:
            return
        self.changed.close()
        self.unchanged.close()
        sites = {name: asdict(site) for name, site in sorted(self.sites.items())}
        (self.folder / "summary.json").write_text(json.dumps(sites, indent=1), encoding="utf-8")
        (self.folder / PRIVATE).write_text(WARNING, encoding="utf-8")
        review = {
            "state": CLEANED,
            "text removed": self.searched,
            "counts": self.counts(),
            "sheets": self.changed.pages | self.unchanged.pages,
        }
        (self.folder / REVIEW).write_text(json.dumps(review, indent=1), encoding="utf-8")

    def counts(self) -> dict[str, int]:
        """Images by state, and pages of sheets."""
        images = sum(site.images for site in self.sites.values())
        cleaned = sum(site.with_removal for site in self.sites.values())
        return {"images": images, CLEANED: cleaned, UNCHANGED: images - cleaned, "different pictures": len(self.shown)}

    def summary(self) -> str:
        """The counts in words."""
        counts = self.counts()
        return f"{counts['images']} images: {counts[CLEANED]} {CLEANED}; {counts[UNCHANGED]} {UNCHANGED}"
