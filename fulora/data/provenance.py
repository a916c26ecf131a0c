"""Provenance: the training patients and images behind an artifact, its own and those of all its parents.

Every model and generated image set has a file `provenance.json` with its own entry and those of all its parents. The
training data of an artifact without this file are unknown. In the file each patient, digest and id is written once;
entries refer to them by index.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import NonNegativeInt

from fulora.config import Config
from fulora.data.image import Image
from fulora.files import write_atomic
from fulora.json_files import DamagedFileError, read_json
from fulora.stage import RECORD, read_record

FILE = "provenance.json"
EARLIER = ("train_patients.json", "trained_on.json", "tainted_by.json")
"""Files in which earlier versions of fulora kept parts of the provenance."""
LISTS = ("patients", "pixels", "ids")

Use = Literal["fitted", "chosen"]
"""Whether weights were fitted to images, or the images only selected a checkpoint, a threshold or pictures."""
USE_PHRASES: Mapping[Use, str] = {"fitted": "trained on", "chosen": "used for model selection"}


class EarlierVersionError(ValueError):
    """An artifact of an earlier version of fulora, which did not record all training patients."""


class ProvenanceEntry(Config):
    """The training data of one model or one set of images.

    Attributes:
        name: kind and folder of the artifact: "LoRA train_lora-0123456789abcdef".
        use: what the images were used for.
        known: whether the training data are known; if not, the other fields are empty.
        images: number of training images.
        patients: their keys (`Image.patient_key`).
        pixels: digests of the pictures (`Image.sha256`).
        ids: `source/image_id` of the pictures, which identify them at any size.
        different_patients: the image set declares equal patient numbers of two sites to be different patients.
        parents: names of the artifacts that it started from, or was generated or selected by.
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
        """Return the entry of an artifact fitted to rows of an image set; synthetic rows are listed by pixels alone."""
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
    """The entries of an artifact and of all its parents, without duplicates."""

    entries: tuple[ProvenanceEntry, ...] = ()

    @classmethod
    def unknown(cls, name: str) -> Self:
        """Return the provenance of weights or pictures whose training data are unknown."""
        return cls(entries=(ProvenanceEntry(name=name, known=False),))

    def patients(self) -> list[str]:
        """Return the keys of all training patients, its own and those of its parents."""
        return sorted({key for entry in self.entries for key in entry.patients})

    def unknowns(self) -> list[str]:
        """Return the names of entries whose training data are unknown."""
        return [entry.name for entry in self.entries if not entry.known]

    def roots(self) -> tuple[str, ...]:
        """Return the names that no entry has as a parent: the artifact itself, or several that were merged."""
        parents = {name for entry in self.entries for name in entry.parents}
        return tuple(dict.fromkeys(entry.name for entry in self.entries if entry.name not in parents))

    def chain(self, name: str) -> str:
        """Return the path from an entry to the artifact: "backbone b, through LoRA l, through classifier c"."""
        names = [name]
        while child := self._child(names):
            names.append(child)
        return ", through ".join(names)

    def _child(self, below: Sequence[str]) -> str | None:
        return next((e.name for e in self.entries if below[-1] in e.parents and e.name not in below), None)

    def joined(self, *others: "Provenance") -> "Provenance":
        """Merge with other provenances, without duplicates."""
        every = [entry for one in (self, *others) for entry in one.entries]
        return Provenance(entries=tuple(entry for place, entry in enumerate(every) if entry not in every[:place]))

    def as_chosen(self) -> "Provenance":
        """Return a copy whose entries count as `chosen`: for a model that only selected among pictures."""
        return Provenance(entries=tuple(entry.changed(use="chosen") for entry in self.entries))

    def write(self, folder: Path) -> None:
        """Write `provenance.json` into the folder of an artifact."""
        tables = {name: sorted({item for one in self.entries for item in getattr(one, name)}) for name in LISTS}
        places = {name: {item: place for place, item in enumerate(items)} for name, items in tables.items()}
        entries = [
            {**entry.model_dump(), **{name: [places[name][item] for item in getattr(entry, name)] for name in LISTS}}
            for entry in self.entries
        ]
        write_atomic(folder / FILE, json.dumps({**tables, "entries": entries}) + "\n")


class _StoredEntry(Config):
    """An entry as stored: its lists hold indices into those of the file."""

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

    def unpacked(self) -> Iterator[ProvenanceEntry]:
        for entry in self.entries:
            lists = {name: tuple(getattr(self, name)[place] for place in getattr(entry, name)) for name in LISTS}
            yield ProvenanceEntry.model_validate({**entry.model_dump(), **lists})


def read_provenance(folder: Path) -> Provenance | None:
    """Read the provenance of a folder; None if it has no such file.

    Raises:
        DamagedFileError: if the file is damaged.
        EarlierVersionError: if an earlier version of fulora wrote the folder.
    """
    path = folder / FILE
    if path.is_file():
        stored = read_json(path, _StoredProvenance)
        try:
            return Provenance(entries=tuple(stored.unpacked()))
        except IndexError as error:
            raise DamagedFileError(f"{path}: is damaged: an entry has an index beyond the end of its list") from error
    if earlier := [name for name in EARLIER if (folder / name).is_file()]:
        raise _earlier(folder, f"it has {earlier[0]} and no {FILE}")
    return None


def provenance_of(path: Path, name: str) -> Provenance:
    """Read the provenance of weights: a folder, or a single file in one.

    Args:
        name: of the entry, if the training data are unknown.

    Raises:
        DamagedFileError: if the file is damaged.
        EarlierVersionError: if an earlier version of fulora made the weights.
    """
    folder = path if path.is_dir() else path.parent
    provenance = read_provenance(folder)
    if provenance is None and _is_stage_output(folder):
        raise _earlier(folder, f"it has no {FILE}")
    return Provenance.unknown(name) if provenance is None else provenance


def _is_stage_output(folder: Path) -> bool:
    with suppress(DamagedFileError):  # other software has a stage.json as well
        return (folder / RECORD).is_file() and bool(read_record(folder))
    return False


def _earlier(folder: Path, why: str) -> EarlierVersionError:
    return EarlierVersionError(
        f"{folder}: was made by an earlier version of fulora, which did not record all training patients ({why}): run "
        "the study or the command that made it again"
    )


def derive_provenance(
    name: str, parents: Sequence[Provenance], base_images: ProvenanceEntry | None = None
) -> Provenance:
    """Return the provenance of images that were generated, masked or merged from others.

    Args:
        name: of the new images.
        base_images: the images that generation started from (image to image, masks).
    """
    inherited = Provenance().joined(*parents)
    if not inherited.entries and base_images is None:
        return inherited
    own = ProvenanceEntry(name=name) if base_images is None else base_images.changed(name=name)
    return Provenance(entries=(own.changed(parents=inherited.roots()),)).joined(inherited)
