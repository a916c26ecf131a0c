"""The rules of an image set: unique ids, known classes, and no patient or picture in two splits."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from fulora.data.image import Image, ImageSetError
from fulora.data.labels import UNLABELLED, Split
from fulora.data.provenance import USE_PHRASES, Provenance

SHOWN = 10
"""Violations of one kind that are listed; the rest are counted."""


def comparable_id(image_id: str) -> str:
    """Return an id as file systems that ignore case compare it: equal ids would be one file."""
    return image_id.replace("/", "_").casefold()


class RuleChecker:
    """Checks rows one at a time; keeps some 300 bytes a row, not the rows.

    Args:
        provenance: of the generators and models behind the images. Patients they were fitted to may not be in
            validation or test, and patients they were selected on may not be in the test.
        classes: of the label set; None allows any plane. Images of the test split may also be unlabelled.
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
        """Add a row."""
        key = comparable_id(row.image_id)
        if key in self._ids:
            self._repeated[row.image_id] = self._repeated.get(row.image_id, 1) + 1
        self._ids.add(key)
        unlabelled = row.plane == UNLABELLED and row.split == "test"
        if self._classes is not None and row.plane not in self._classes and not unlabelled:
            self._strange.setdefault(row.plane, row.image_id)
        if row.patient_key:
            self._patients.setdefault(row.patient_key, set()).add(row.split)
        digest = row.sha256.encode() if len(row.sha256) != 64 else bytes.fromhex(row.sha256)
        if digest in self._first:
            self._same[digest].append((row.split, row.image_id))
        else:
            self._first[digest] = (row.split, row.image_id)

    def breaches(self) -> list[str]:
        """Return the violations so far, at most ten lines of a kind and one that counts the rest."""
        ids = [f"{name}: duplicate id, {n} rows have it; ids are unique" for name, n in self._repeated.items()]
        patients = [
            f"{key}: the patient is in {_and(splits)}; a patient belongs to one split"
            for key, splits in self._patients.items()
            if len(splits) > 1
        ]
        groups = ([self._first[digest], *others] for digest, others in self._same.items())
        pictures = [
            f"identical pixels are in {_and(splits)}: {', '.join(name for _, name in group)}"
            for group in groups
            if len(splits := {split for split, _ in group}) > 1
        ]
        strange = [
            f"{name}: shows {plane!r}; the classes of its label set are {', '.join(self._classes or ())}"
            for plane, name in self._strange.items()
        ]
        return [line for kind in (ids, strange, patients, pictures, self._trained_on()) for line in _first_of(kind)]

    def _trained_on(self) -> list[str]:
        """Patients in validation or test who are training patients of a generator or model behind the images."""
        refused: dict[str, set[Split]] = {"fitted": {"validation", "test"}, "chosen": {"test"}}
        lines: dict[str, str] = {}
        for entry in self._provenance.entries if self._provenance else ():
            for key in entry.patients:
                splits = self._patients.get(key, set()) & refused[entry.use]
                if splits and self._provenance and key not in lines:
                    by = self._provenance.chain(entry.name)
                    lines[key] = f"{key}: the patient is in {_and(splits)}, and was {USE_PHRASES[entry.use]} by {by}"
        return [lines[key] for key in sorted(lines)]

    def refuse(self) -> None:
        """Raise ImageSetError with all violations, if there are any."""
        lines = self.breaches()
        if lines:
            raise ImageSetError(f"this image set cannot be written: {len(lines)} breaches\n" + "\n".join(lines))


def check_rows(rows: Iterable[Image], provenance: Provenance | None = None) -> None:
    """Check rows that are not written yet, in one pass.

    Args:
        provenance: of the generators and models behind the images.

    Raises:
        ImageSetError: with every violation, one a line (at most ten of a kind).
    """
    checker = RuleChecker(provenance)
    for row in rows:
        checker.add(row)
    checker.refuse()


def _and(splits: set[Split]) -> str:
    return " and ".join(sorted(splits))


def _first_of(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"... and {rest} more of this kind"] if rest > 0 else [])]
