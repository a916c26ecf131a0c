"""What a set may not hold: ids that stand twice, and patients, pictures or a generator's patients across splits."""

from collections import defaultdict
from collections.abc import Sequence

from fulora.data.image import Image
from fulora.data.labels import Split
from fulora.data.provenance import Provenance

SHOWN = 10
"""Breaches of one kind that are named; the rest are counted."""


def comparable_id(image_id: str) -> str:
    """What makes two ids the same: as file names they would collide where case does not count."""
    return image_id.replace("/", "_").casefold()


class RuleChecker:
    """Rows go in one at a time; what was seen of them is kept, some 300 bytes a row, never the rows.

    Args:
        provenance: whom the generators and models behind the images learned from. Nobody whom they were fitted to may
            be in validation or test, and nobody by whom they were chosen in the test.
        classes: of the label set; None where a plane may be anything.
    """

    def __init__(self, provenance: Provenance | None = None, classes: Sequence[str] | None = None) -> None:
        self._provenance = provenance
        self._classes = classes
        self._strange: dict[str, str] = {}
        self._ids: set[str] = set()
        self._repeated: dict[str, int] = {}
        self._patients: dict[str, set[Split]] = {}
        self._first: dict[bytes, tuple[Split, str]] = {}
        self._same: dict[bytes, list[tuple[Split, str]]] = defaultdict(list)

    def add(self, row: Image) -> None:
        """Take note of a row."""
        key = comparable_id(row.image_id)
        if key in self._ids:
            self._repeated[row.image_id] = self._repeated.get(row.image_id, 1) + 1
        self._ids.add(key)
        if self._classes is not None and row.plane not in self._classes:
            self._strange.setdefault(row.plane, row.image_id)
        if row.patient_key:
            self._patients.setdefault(row.patient_key, set()).add(row.split)
        digest, here = (
            row.sha256.encode() if len(row.sha256) != 64 else bytes.fromhex(row.sha256),
            (row.split, row.image_id),
        )
        if digest in self._first:
            self._same[digest].append(here)
        else:
            self._first[digest] = here

    def breaches(self) -> list[str]:
        """What is wrong with the rows so far, at most ten lines of a kind and one that counts the rest."""
        ids = [f"{name}: the id stands {n} times; ids are unique" for name, n in self._repeated.items()]
        crossing = {key: found for key, found in self._patients.items() if len(found) > 1}
        patients = [
            f"{key}: the patient is in {_and(found)}; a patient belongs to one split" for key, found in crossing.items()
        ]
        groups = ([self._first[digest], *others] for digest, others in self._same.items())
        pictures = [
            f"identical pixels are in {_and(splits)}: {', '.join(name for _, name in group)}"
            for group in groups
            if len(splits := {split for split, _ in group}) > 1
        ]
        taints = self._taints()
        strange = [
            f"{name}: shows {plane!r}; the classes of its label set are {', '.join(self._classes or ())}"
            for plane, name in self._strange.items()
        ]
        return [line for kind in (ids, strange, patients, pictures, taints) for line in _first_of(kind)]

    def _taints(self) -> list[str]:
        """Patients in validation or test whom a generator or a model behind the images learned from, each once."""
        refused: dict[str, set[Split]] = {"fitted": {"validation", "test"}, "chosen": {"test"}}
        said = {"fitted": "trained on", "chosen": "used for choosing"}
        found: dict[str, str] = {}
        for entry in self._provenance.entries if self._provenance else ():
            for key in entry.patients:
                here = self._patients.get(key, set()) & refused[entry.use]
                if here and self._provenance and key not in found:
                    by = self._provenance.chain(entry.name)
                    found[key] = f"{key}: the patient is in {_and(here)}, and was {said[entry.use]} by {by}"
        return [found[key] for key in sorted(found)]


def _and(splits: set[Split]) -> str:
    return " and ".join(sorted(splits))


def _first_of(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"... and {rest} more of this kind"] if rest > 0 else [])]
