"""Who is shown in DICOM files, before pseudonyms hide it: ids in two spellings, and ids that may not be of one woman.

Messages hold counts and file names, never an id, a name or a date of birth.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fulora.data.patient_numbers import plain_number
from fulora.data.tables.cells import is_missing
from fulora.intake.dicom.ultrasound_files import Ultrasound, attribute_text

SHOWN = 5
PLACEHOLDER = re.compile(
    r"(unknown|unbekannt|unidentified|anon\w*|deidentified|noid|nopatientid|noname|dummy|test|temp|patient|x{2,}|0+|9{3,})"
    r"[\W_\d]*"
)
"""Ids and names that stand for nobody, as `plain_number` writes them."""


class PatientRecord(NamedTuple):
    """What the files say of a patient; names and dates are "" where they are missing or stand for nobody."""

    patient_id: str
    name: str
    birth_date: str
    file: str


class DicomPatients:
    """Everybody in the files that were added."""

    def __init__(self) -> None:
        self.people: list[PatientRecord] = []

    def add(self, found: Ultrasound) -> None:
        """Add the patient of a file."""
        name = plain_number(re.sub(r"[\^=,]+", " ", attribute_text(found.header, "PatientName")))
        date = attribute_text(found.header, "PatientBirthDate")
        self.people.append(
            PatientRecord(
                attribute_text(found.header, "PatientID"),
                "" if is_missing(name) or PLACEHOLDER.fullmatch(name) else name,
                "" if is_missing(date) else date,
                found.path.name,
            )
        )

    def spellings(self) -> list[str]:
        """Ids that differ only in leading zeros, case and blanks, a line each."""
        return [
            f"{len(ids)} PatientIDs differ only in leading zeros, case or blanks, and become {len(ids)} patients: "
            f"{_files(ids.values())}"
            for ids in self._by_number().values()
            if len(ids) > 1
        ]

    def doubts(self) -> list[str]:
        """Placeholders for ids, ids of several people, and people with several ids, a line each.

        Two spellings of one id are left to `spellings` and to the comparison of patient numbers.
        """
        lines = []
        by_id = _by_id(self.people)
        for patient_id, people in by_id.items():
            if PLACEHOLDER.fullmatch(plain_number(patient_id)):
                lines.append(
                    f"a PatientID that is a placeholder makes one patient of all its files: {_files([people])}"
                )
            elif len({one.name for one in people} - {""}) > 1 and len({one.birth_date for one in people} - {""}) > 1:
                lines.append(f"one PatientID has several names and dates of birth: {_files([people])}")
        same: dict[tuple[str, str], list[PatientRecord]] = defaultdict(list)
        for one in self.people:
            if one.name and one.birth_date:
                same[one.name, one.birth_date].append(one)
        for people in same.values():
            ids = _by_id(people)
            if len(set(map(plain_number, ids))) > 1:
                lines.append(f"{len(ids)} PatientIDs have one name and date of birth: {_files(ids.values())}")
        return lines

    def _by_number(self) -> dict[str, dict[str, list[PatientRecord]]]:
        groups: dict[str, dict[str, list[PatientRecord]]] = defaultdict(dict)
        for patient_id, people in _by_id(self.people).items():
            groups[plain_number(patient_id)][patient_id] = people
        return groups


def _by_id(people: Sequence[PatientRecord]) -> dict[str, list[PatientRecord]]:
    found: dict[str, list[PatientRecord]] = defaultdict(list)
    for one in people:
        found[one.patient_id].append(one)
    return found


def _files(groups: Iterable[Sequence[PatientRecord]]) -> str:
    """How many files of each id, and the first of them."""
    told = [f"{group[0].file}{f' and {len(group) - 1} more' if len(group) > 1 else ''}" for group in groups]
    return "; ".join(told[:SHOWN]) + (f"; and {len(told) - SHOWN} more ids" if len(told) > SHOWN else "")
