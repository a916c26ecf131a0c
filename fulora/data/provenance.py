"""The book of training people: from whose images, and which, an artifact learned, itself and through every parent.

Everything that learned from images writes `provenance.json` beside its weights or pictures: one entry for itself and
one for each of its parents, theirs among them. What has no such file was made elsewhere: of whom it learned is unknown.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fulora.config import Config
from fulora.json_files import read_json

if TYPE_CHECKING:
    from fulora.data.manifest import Image

FILE = "provenance.json"


class Learned(Config):
    """What one model, or the generator behind a set of images, was fitted to.

    Attributes:
        name: what it is and where it is from: "LoRA train_lora-0123456789abcdef".
        known: whether it is known from whose images it learned; where not, the rest is empty.
        patients: their keys (`Image.patient_key`), of training and validation alike: either was looked at.
        pixels: digests of the pictures (`fulora.data.manifest.pixel_digest`).
        ids: `source/image_id` of the pictures, which tell them at any size.
        different_patients: it was said of its images that equal patient numbers of two sites are different patients.
    """

    name: str
    known: bool = True
    patients: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    different_patients: bool = False

    @classmethod
    def of(cls, name: str, rows: "Iterable[Image]", *, different_patients: bool = False) -> Self:
        """What was fitted to rows of an image set; synthetic ones count by their pixels alone."""
        kept = list(rows)
        real = [row for row in kept if row.origin == "real"]
        return cls(
            name=name,
            patients=tuple(sorted({row.patient_key for row in real})),
            pixels=tuple(sorted({row.sha256 for row in kept})),
            ids=tuple(sorted({f"{row.source}/{row.image_id}" for row in real})),
            different_patients=different_patients,
        )

    @classmethod
    def unknown(cls, name: str) -> Self:
        """Weights from elsewhere: of whom they learned is not known."""
        return cls(name=name, known=False)


class Provenance(Config):
    """All that an artifact learned from: `entries` of itself and of every parent, each once."""

    entries: tuple[Learned, ...] = ()

    def patients(self) -> list[str]:
        """Keys of everybody it learned from, itself or through a parent."""
        return sorted({key for entry in self.entries for key in entry.patients})

    def joined(self, *others: "Provenance") -> "Provenance":
        """The entries of several, each once."""
        every = [entry for one in (self, *others) for entry in one.entries]
        return Provenance(entries=tuple(entry for place, entry in enumerate(every) if entry not in every[:place]))

    def write(self, folder: Path) -> None:
        """Write it beside weights or pictures."""
        (folder / FILE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def learned(own: Learned, parents: Sequence[Provenance] = ()) -> Provenance:
    """The book of an artifact that was itself fitted to images, and began with its parents."""
    return Provenance(entries=(own,)).joined(*parents)


def provenance_of(place: Path, name: str) -> Provenance:
    """The book beside weights: in their folder, or in that of a single file.

    Args:
        name: what they are called where nothing is known of them.

    Raises:
        DamagedFileError: the file is no such book.
    """
    path = (place if place.is_dir() else place.parent) / FILE
    return read_json(path, Provenance) if path.is_file() else Provenance(entries=(Learned.unknown(name),))
