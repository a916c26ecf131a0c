"""What curation did to the pictures of people, for those who answer for it: counts, a line an image, a sheet a site."""

import heapq
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil

from fulora.intake.curation import Cut
from fulora.intake.deidentify import Cleaned, removal_sheet

WARNING = """The sheets and lines here show what was removed, names among it: look at them, and keep them to yourselves.
Remove this folder before you pass the image set on. `fulora export` leaves it out.
"""
PER_SITE = 8
"""Pictures of each site that lost most, and are shown: more would let memory grow with the set."""


@dataclass
class SiteAudit:
    """Counts of one site, and the pictures that lost most: (not found, share, number, before, cleaned)."""

    images: int = 0
    with_removal: int = 0
    without_sector: int = 0
    outside_px: int = 0
    inside_px: int = 0
    most: list[tuple[bool, float, int, UInt8[np.ndarray, "h w"], Cleaned]] = field(default_factory=list)


class Audit:
    """Takes note of one cut after the other; lines are on disk at once.

    Args:
        folder: made when there is something to write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sites: dict[str, SiteAudit] = defaultdict(SiteAudit)

    def note(self, cut: Cut) -> None:
        """Take note of what was removed from a picture; nothing where nothing was looked for."""
        if cut.cleaned is None or cut.removal is None:
            return
        row = cut.removal
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "deidentification.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        site = self.sites[f"{cut.picture.row.source} {row.site}".strip()]
        site.images += 1
        site.with_removal += row.share > 0
        site.without_sector += not row.confident
        site.outside_px += row.outside_px
        site.inside_px += row.inside_px
        heapq.heappush(site.most, (not row.confident, row.share, -site.images, cut.before, cut.cleaned))
        if len(site.most) > PER_SITE:
            heapq.heappop(site.most)

    def write(self, left_out: Sequence[str]) -> None:
        """Write `summary.json` and a sheet a site, and `left_out.txt` where something was left out."""
        if left_out:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "left_out.txt").write_text("\n".join(left_out) + "\n", encoding="utf-8")
        if not self.sites:
            return
        shown = ("images", "with_removal", "without_sector", "outside_px", "inside_px")
        counts = {name: {key: getattr(site, key) for key in shown} for name, site in sorted(self.sites.items())}
        (self.folder / "summary.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
        (self.folder / "KEEP-PRIVATE.txt").write_text(WARNING, encoding="utf-8")
        for name, site in self.sites.items():
            sheet = removal_sheet([before for *_, before, _ in site.most], [cleaned for *_, cleaned in site.most])
            Pil.fromarray(sheet).save(self.folder / f"{re.sub(r'[^A-Za-z0-9-]+', '-', name)}.png")
