"""Checks of patient ids before they become pseudonyms: two spellings of one id, and ids of several patients.

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
"""Placeholders of ids and names, as normalised by `plain_number`."""


class PatientRecord(NamedTuple):
    """A patient of one file; name and date are "" if they are missing or placeholders."""

    patient_id: str
    name: str
    birth_date: str
    file: str


class DicomPatients:
    """The patients of files."""

    def __init__(self) -> None:
        self.records: list[PatientRecord] = []

    def add(self, image: Ultrasound) -> None:
        """Add the patient of a file."""
        name = plain_number(re.sub(r"[\^=,]+", " ", attribute_text(image.header, "PatientName")))
        date = attribute_text(image.header, "PatientBirthDate")
        self.records.append(
            PatientRecord(
                attribute_text(image.header, "PatientID"),
                "" if is_missing(name) or PLACEHOLDER.fullmatch(name) else name,
                "" if is_missing(date) else date,
                image.path.name,
            )
        )

    def spellings(self) -> list[str]:
        """Describe ids that differ only in leading zeros, case and blanks, one line each."""
        return [
            f"{len(ids)} PatientIDs differ only in leading zeros, case or blanks, and become {len(ids)} patients: "
            f"{_describe_files(ids.values())}"
            for ids in self._by_number().values()
            if len(ids) > 1
        ]

    def doubts(self) -> list[str]:
        """Describe placeholders for ids, ids of several patients, and patients with several ids, one line each.

        Two spellings of one id are reported by `spellings` and by the comparison of patient numbers.
        """
        lines = []
        by_id = _by_id(self.records)
        for patient_id, records in by_id.items():
            if PLACEHOLDER.fullmatch(plain_number(patient_id)):
                lines.append(
                    f"a placeholder as PatientID merges all its files into one patient: {_describe_files([records])}"
                )
            elif len({one.name for one in records} - {""}) > 1 and len({one.birth_date for one in records} - {""}) > 1:
                lines.append(f"one PatientID has several names and dates of birth: {_describe_files([records])}")
        same: dict[tuple[str, str], list[PatientRecord]] = defaultdict(list)
        for one in self.records:
            if one.name and one.birth_date:
                same[one.name, one.birth_date].append(one)
        for records in same.values():
            ids = _by_id(records)
            if len(set(map(plain_number, ids))) > 1:
                lines.append(f"{len(ids)} PatientIDs have one name and date of birth: {_describe_files(ids.values())}")
        return lines

    def _by_number(self) -> dict[str, dict[str, list[PatientRecord]]]:
        groups: dict[str, dict[str, list[PatientRecord]]] = defaultdict(dict)
        for patient_id, records in _by_id(self.records).items():
            groups[plain_number(patient_id)][patient_id] = records
        return groups


def _by_id(records: Sequence[PatientRecord]) -> dict[str, list[PatientRecord]]:
    by_id: dict[str, list[PatientRecord]] = defaultdict(list)
    for one in records:
        by_id[one.patient_id].append(one)
    return by_id


def _describe_files(groups: Iterable[Sequence[PatientRecord]]) -> str:
    texts = [f"{group[0].file}{f' and {len(group) - 1} more' if len(group) > 1 else ''}" for group in groups]
    return "; ".join(texts[:SHOWN]) + (f"; and {len(texts) - SHOWN} more ids" if len(texts) > SHOWN else "")
