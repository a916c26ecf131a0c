"""The book of training people: from whose images, and which, an artifact learned, itself and through every parent.

Everything that learned from images writes `provenance.json` beside its weights or pictures: its own entries and those
of all its parents. What has no such file was made elsewhere: of whom it learned is unknown. In the file every patient,
digest and id stands once; entries refer to them by their places.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import NonNegativeInt

from fulora.config import Config
from fulora.data.image import Image
from fulora.files import whole
from fulora.json_files import DamagedFileError, read_json
from fulora.stage import RECORD, read_record

FILE = "provenance.json"
EARLIER = ("train_patients.json", "trained_on.json", "tainted_by.json")
"""Files in which earlier versions of fulora kept parts of the book."""
LISTS = ("patients", "pixels", "ids")

Use = Literal["fitted", "chosen"]
"""Whether weights were fitted to images, or a checkpoint, a threshold or pictures were chosen by them."""


class EarlierVersionError(ValueError):
    """An artifact that an earlier version of fulora made, which did not note everybody whom it learned from."""


class ProvenanceEntry(Config):
    """What one model, or one set of images, has from images.

    Attributes:
        name: what it is and where it is from: "LoRA train_lora-0123456789abcdef".
        use: what the images were used for.
        known: whether it is known from whose images it learned; where not, the rest is empty.
        images: how many there were.
        patients: their keys (`Image.patient_key`).
        pixels: digests of the pictures (`Image.sha256`).
        ids: `source/image_id` of the pictures, which tell them at any size.
        different_patients: it was said of its images that equal patient numbers of two sites are different patients.
        parents: names of what it began with, or was drawn or chosen by.
    """

    name: str
    use: Use = "fitted"
    known: bool = True
    images: int = 0
    patients: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    different_patients: bool = False
    parents: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        rows: Iterable[Image],
        use: Use = "fitted",
        *,
        different_patients: bool = False,
        parents: Sequence[str] = (),
    ) -> Self:
        """What was learned from rows of an image set; synthetic ones count by their pixels alone."""
        kept = list(rows)
        real = [row for row in kept if row.origin == "real"]
        return cls(
            name=name,
            use=use,
            images=len(kept),
            patients=tuple(sorted({row.patient_key for row in real})),
            pixels=tuple(sorted({row.sha256 for row in kept})),
            ids=tuple(sorted({f"{row.source}/{row.image_id}" for row in real})),
            different_patients=different_patients,
            parents=tuple(parents),
        )


class Provenance(Config):
    """All that an artifact learned from: entries of itself and of every parent, each once."""

    entries: tuple[ProvenanceEntry, ...] = ()

    @classmethod
    def unknown(cls, name: str) -> Self:
        """Of weights or pictures from elsewhere, of which it is not known whom they learned from."""
        return cls(entries=(ProvenanceEntry(name=name, known=False),))

    def patients(self) -> list[str]:
        """Keys of everybody it learned from, itself or through a parent."""
        return sorted({key for entry in self.entries for key in entry.patients})

    def unknowns(self) -> list[str]:
        """The names of parents of which it is not known whom they learned from."""
        return [entry.name for entry in self.entries if not entry.known]

    def roots(self) -> tuple[str, ...]:
        """The names that are nobody's parent: of the artifact itself, or of several that were put together."""
        parents = {name for entry in self.entries for name in entry.parents}
        return tuple(dict.fromkeys(entry.name for entry in self.entries if entry.name not in parents))

    def chain(self, name: str) -> str:
        """Through what the artifact has what `name` learned: "backbone b, through LoRA l, through classifier c"."""
        found = [name]
        while child := self._child(found):
            found.append(child)
        return ", through ".join(found)

    def _child(self, below: Sequence[str]) -> str | None:
        return next((e.name for e in self.entries if below[-1] in e.parents and e.name not in below), None)

    def joined(self, *others: "Provenance") -> "Provenance":
        """The entries of several, each once."""
        every = [entry for one in (self, *others) for entry in one.entries]
        return Provenance(entries=tuple(entry for place, entry in enumerate(every) if entry not in every[:place]))

    def as_chosen(self) -> "Provenance":
        """That of what only chose among pictures: nobody's pictures were drawn by it, but all it knows was used."""
        return Provenance(entries=tuple(entry.changed(use="chosen") for entry in self.entries))

    def write(self, folder: Path) -> None:
        """Write it beside weights or pictures."""
        tables = {name: sorted({item for one in self.entries for item in getattr(one, name)}) for name in LISTS}
        places = {name: {item: place for place, item in enumerate(items)} for name, items in tables.items()}
        entries = [
            {**entry.model_dump(), **{name: [places[name][item] for item in getattr(entry, name)] for name in LISTS}}
            for entry in self.entries
        ]
        with whole(folder / FILE) as new:
            new.write_text(json.dumps({**tables, "entries": entries}) + "\n", encoding="utf-8")


class _StoredEntry(Config):
    """An entry as it stands in the file; the lists are places in those of the file."""

    name: str
    use: Use
    known: bool
    images: int
    patients: tuple[NonNegativeInt, ...]
    pixels: tuple[NonNegativeInt, ...]
    ids: tuple[NonNegativeInt, ...]
    different_patients: bool
    parents: tuple[str, ...]


class _StoredProvenance(Config):
    patients: tuple[str, ...]
    pixels: tuple[str, ...]
    ids: tuple[str, ...]
    entries: tuple[_StoredEntry, ...]

    def learned(self) -> Iterator[ProvenanceEntry]:
        for entry in self.entries:
            lists = {name: tuple(getattr(self, name)[place] for place in getattr(entry, name)) for name in LISTS}
            yield ProvenanceEntry.model_validate({**entry.model_dump(), **lists})


def read_provenance(folder: Path) -> Provenance | None:
    """The book of a folder; None where it has none.

    Raises:
        DamagedFileError: the file is no such book.
        EarlierVersionError: the folder has parts of it, as earlier versions kept them.
    """
    path = folder / FILE
    if path.is_file():
        book = read_json(path, _StoredProvenance)
        try:
            return Provenance(entries=tuple(book.learned()))
        except IndexError as error:
            raise DamagedFileError(f"{path}: is damaged: an entry refers to what its lists do not hold") from error
    if earlier := [name for name in EARLIER if (folder / name).is_file()]:
        raise _earlier(folder, f"it has {earlier[0]} and no {FILE}")
    return None


def provenance_of(place: Path, name: str) -> Provenance:
    """The book beside weights: in their folder, or in that of a single file.

    Args:
        name: what they are called where nothing is known of them.

    Raises:
        DamagedFileError: the file is no such book.
        EarlierVersionError: an earlier version of fulora made them.
    """
    folder = place if place.is_dir() else place.parent
    found = read_provenance(folder)
    if found is None and _by_a_stage(folder):
        raise _earlier(folder, f"it has no {FILE}")
    return Provenance.unknown(name) if found is None else found


def _by_a_stage(folder: Path) -> bool:
    with suppress(DamagedFileError):  # other software has a stage.json as well
        return (folder / RECORD).is_file() and bool(read_record(folder))
    return False


def _earlier(folder: Path, why: str) -> EarlierVersionError:
    return EarlierVersionError(
        f"{folder}: was made by an earlier version of fulora, which did not note everybody whom it learned from "
        f"({why}): run the study or the command that made it again"
    )


def derive_provenance(
    name: str, parents: Sequence[Provenance], drawn_over: ProvenanceEntry | None = None
) -> Provenance:
    """The book of images that were drawn, masked or put together from others.

    Args:
        name: of the images.
        drawn_over: the images that they were drawn over.
    """
    inherited = Provenance().joined(*parents)
    if not inherited.entries and drawn_over is None:
        return inherited
    own = ProvenanceEntry(name=name) if drawn_over is None else drawn_over.changed(name=name)
    return Provenance(entries=(own.changed(parents=inherited.roots()),)).joined(inherited)
