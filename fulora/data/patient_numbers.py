"""One woman under two names: the same patient number at two sites, where nobody says that they are two women.

A patient is known by (source, site, patient). Two folders of one hospital that are called by two sites would so make
two women of one. The published sets are another matter: their numbers are documented to be of one set and site each.
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
"""File of an image set in which it says that equal patient numbers under two names are different patients."""
WAYS_OUT = (
    "If they are the same women, give them one `source` and one `site` and spell their numbers alike, and keep each in "
    "one split; if they are different women, say `same_numbers: different_patients`"
)


class SameNumberError(ValueError):
    """Patients who may be one and the same occur under two names where they must be kept apart."""


class PatientName(NamedTuple):
    """Whom an image shows, in the parts of a patient key.

    Attributes:
        own: what is compared instead of `patient`, where that is a pseudonym: equal for spellings of one number.
    """

    source: str
    site: str
    patient: str
    own: str = ""

    @classmethod
    def of_key(cls, key: str) -> "PatientName":
        """The parts of `source/site/patient`."""
        source, site, patient = (*key.split("/", 2), "", "")[:3]
        return cls(source, site, patient)

    @property
    def place(self) -> str:
        """Source and site, as a message names them."""
        return f"source '{self.source}', site '{self.site}'"

    @property
    def number(self) -> str:
        """What makes two patients' numbers the same: without leading zeros, case and blanks; "" for no number.

        A published set's numbers are its own, and a path is the name of an image whose patient is not known.
        """
        if self.source in PUBLISHED or ("/" in self.patient and not self.own):
            return ""
        return plain_number(self.own or self.patient)


def plain_number(text: str) -> str:
    """A patient number without case, blanks, and the zeros that a number in it begins with: P12 for `p 0012`."""
    plain = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain)


def same_numbers(first: Iterable[PatientName], second: Iterable[PatientName]) -> list[tuple[PatientName, PatientName]]:
    """Pairs of different names that have one number, one of each group; ordered, each pair once."""
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
    said: Mapping[PatientName, str] | None = None,
    files: Mapping[PatientName, Path | None] | None = None,
) -> list[str]:
    """What a message says of pairs, grouped by the places that they are of.

    Args:
        said: what more is to be said of the place of a name, such as its folder and its role.
        files: a file of each name; told of pseudonyms, which say nothing by themselves.
    """
    more, shown = said or {}, files or {}

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
    """Write into an image set that equal patient numbers under two names are different patients."""
    (folder / NUMBERING).write_text(json.dumps({"same_numbers": "different_patients"}), encoding="utf-8")


def different_patients(folder: Path) -> bool:
    """Whether an image set says that equal patient numbers under two names are different patients."""
    return (folder / NUMBERING).is_file()
