"""Patient numbers that occur at two sites and may be one patient, unless they are declared to be different ones.

A patient is identified by (source, site, patient). Two folders of one hospital with different site names would thus
turn one patient into two. In published sets the numbers are documented to be unique to set and site.
"""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

PUBLISHED = frozenset({"african_planes", "fetal_planes_db", "hc18", "phantoms", "psfhs"})
"""Sources whose patient numbers are documented: an equal number elsewhere is another patient."""
SHOWN = 10
NUMBERING = "numbering.json"
"""File in which an image set declares equal patient numbers under two names to be different patients."""
WAYS_OUT = (
    "If they are the same women, give them one `source` and one `site` and spell their numbers alike, and keep each in "
    "one split; if they are different women, say `same_numbers: different_patients`"
)


class SameNumberError(ValueError):
    """Patients who may be the same occur under two names in data that must be disjoint."""


class PatientName(NamedTuple):
    """The parts of a patient key.

    Attributes:
        own: compared instead of `patient` if that is a pseudonym: equal for spellings of one number.
    """

    source: str
    site: str
    patient: str
    own: str = ""

    @classmethod
    def of_key(cls, key: str) -> "PatientName":
        """Split `source/site/patient`."""
        source, site, patient = (*key.split("/", 2), "", "")[:3]
        return cls(source, site, patient)

    @property
    def place(self) -> str:
        """Source and site, as in messages."""
        return f"source '{self.source}', site '{self.site}'"

    @property
    def number(self) -> str:
        """The number as it is compared: without leading zeros, case and blanks; "" if there is none.

        A published set's numbers are its own, and a path is the name of an image whose patient is not known.
        """
        if self.source in PUBLISHED or ("/" in self.patient and not self.own):
            return ""
        return plain_number(self.own or self.patient)


def plain_number(text: str) -> str:
    """Return a patient number without case, blanks and leading zeros: P12 for `p 0012`."""
    plain = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain)


def same_numbers(first: Iterable[PatientName], second: Iterable[PatientName]) -> list[tuple[PatientName, PatientName]]:
    """Return pairs of different names with the same number, one of each group, in order and without duplicates."""
    by_number: dict[str, set[PatientName]] = defaultdict(set)
    for name in second:
        by_number[name.number].add(name)
    pairs = {
        (min(one, other), max(one, other))
        for one in set(first)
        if one.number
        for other in by_number.get(one.number, ())
        if one != other
    }
    return sorted(pairs)


def describe_pairs(
    pairs: Iterable[tuple[PatientName, PatientName]],
    details: Mapping[PatientName, str] | None = None,
    files: Mapping[PatientName, Path | None] | None = None,
) -> list[str]:
    """Describe pairs in a message, grouped by source and site.

    Args:
        details: more on the source of a name, such as its folder and its role.
        files: a file of each name, shown for pseudonyms.
    """
    more, shown = details or {}, files or {}

    def number(name: PatientName) -> str:
        return f"{name.patient} ({path.name})" if name.own and (path := shown.get(name)) else name.patient

    by_places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one, other in pairs:
        places = (one.place + more.get(one, ""), other.place + more.get(other, ""))
        numbers = one.patient if one.patient == other.patient else f"{number(one)} = {number(other)}"
        by_places[places].append(numbers)
    return [
        f"{len(numbers)} patient number{' occurs' if len(numbers) == 1 else 's occur'} under two names: "
        f"{', '.join(numbers[:SHOWN])}"
        f"{' and more' if len(numbers) > SHOWN else ''} ({first}; {second})"
        for (first, second), numbers in by_places.items()
    ]


def note_different_patients(folder: Path) -> None:
    """Declare in an image set that equal patient numbers under two names are different patients."""
    (folder / NUMBERING).write_text(json.dumps({"same_numbers": "different_patients"}), encoding="utf-8")


def different_patients(folder: Path) -> bool:
    """Whether an image set declares equal patient numbers under two names to be different patients."""
    return (folder / NUMBERING).is_file()
