"""Attributes of DICOM files under the Basic Application Level Confidentiality Profile (PS3.15 Annex E, edition 2026c).

The action for each attribute comes from the tables of the library dicom-anonymizer, but is implemented here: the
library treats the top level only, keeps removed dates as dummies, and generates new UIDs at random. Stricter than the
profile: texts, dates and bytes that the profile does not name are removed too, except for a short list (`KEPT`); so are
all overlays, curves and private elements. Coded values (CS, and the codes and meanings of code sequences) are kept, as
in the profile: names in codes would leak.
"""

import copy
from collections import Counter

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from dicomanonymizer.simpledicomanonymizer import replace_element
from pydicom import DataElement, Dataset, Sequence
from pydicom.datadict import dictionary_VR
from pydicom.uid import UID

from fulora.data.tables.cells import is_missing
from fulora.intake.sources.dicom import keyed_digest, pseudonym

EDITION = "dicomfields_2026c"
TABLES = {name: frozenset(tags) for name, tags in dicom_anonymization_database_selector(EDITION).items()}
REMOVED = TABLES["X_TAGS"]
EMPTIED = TABLES["Z_TAGS"] | TABLES["X_Z_TAGS"]
REPLACED = TABLES["D_TAGS"] | TABLES["Z_D_TAGS"] | TABLES["X_D_TAGS"] | TABLES["X_Z_D_TAGS"]
"""X removes, Z empties, D inserts a dummy. Of alternatives, the one that every object type allows is used."""

PLAIN = ("CS", "DS", "IS", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "AT")
"""Value representations that are kept if the profile does not name the attribute: codes and numbers."""

KEPT = (
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions"),
    *("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning", "LUTData"),
)
CLASSES = ("SOPClassUID", "ReferencedSOPClassUID")
STANDARD = "1.2.840.10008."
"""The root of the standard's own UIDs."""
PIXEL_GROUP = 0x7FE0


def deidentify_attributes(dataset: Dataset, key: str, count: Counter[str]) -> Dataset:
    """Return the elements that may be kept, at every depth, without the pixels.

    Args:
        count: of elements that were removed, replaced and emptied, and of new `uids`; it is increased.
    """
    result = Dataset()
    for element in dataset:
        if element.tag.group == PIXEL_GROUP:
            continue
        kept = _deidentify_element(element, key, count)
        if kept is None:
            count["removed"] += 1
        else:
            result.add(kept)
    return result


def _deidentify_element(element: DataElement, key: str, count: Counter[str]) -> DataElement | None:
    tag = (element.tag.group, element.tag.element)
    if _is_removed(element):
        return None
    if element.keyword == "PatientID":
        if is_missing(str(element.value or "")):
            return element  # a dummy would merge all patients without an id
        count["replaced"] += 1
        return DataElement(element.tag, "LO", pseudonym(str(element.value).strip(), key))
    if element.VR == "UI":
        return _replace_uids(element, key, count)
    if tag in EMPTIED:
        count["emptied"] += 1
        return DataElement(element.tag, element.VR, Sequence() if element.VR == "SQ" else None)
    if tag in REPLACED:
        count["replaced"] += 1
        dummy = copy.deepcopy(element)
        replace_element(dummy)
        return dummy
    if element.VR == "SQ":
        return DataElement(
            element.tag, "SQ", Sequence(deidentify_attributes(item, key, count) for item in element.value)
        )
    return copy.deepcopy(element)


def _is_removed(element: DataElement) -> bool:
    tag, group = (element.tag.group, element.tag.element), element.tag.group
    if element.tag.is_private or tag[1] == 0 or group & 0xFF00 in (0x5000, 0x6000) or tag in REMOVED:
        return True
    if element.VR == "SQ":
        return tag in REPLACED or not element.keyword  # only reports and presentation states need the former
    named = tag in EMPTIED or tag in REPLACED or element.VR == "UI"
    return not named and element.keyword not in KEPT and not _is_plain(element)


def _is_plain(element: DataElement) -> bool:
    """Return whether it is a code or a number, by the file and by the standard: a file may declare a name as a code."""
    kinds = f"{element.VR} or {dictionary_VR(element.tag) if element.keyword else 'unknown'}"
    return set(kinds.split(" or ")) <= set(PLAIN)


def _replace_uids(element: DataElement, key: str, count: Counter[str]) -> DataElement:
    """Replace all UIDs but those of the standard (classes, transfer syntaxes)."""
    old = [UID(value) for value in ([element.value] if element.VM <= 1 else element.value) if value]
    named = (element.tag.group, element.tag.element) in TABLES["U_TAGS"]
    classes = element.keyword in CLASSES
    new = [
        uid if classes or uid.name != uid or (uid.startswith(STANDARD) and not named) else new_uid(uid, key)
        for uid in old
    ]
    changed = old != new
    count["replaced"] += changed
    count["uids"] += changed
    return DataElement(element.tag, "UI", new[0] if len(new) == 1 else new)


def new_uid(uid: str, key: str) -> str:
    """Return the replacement of a UID: 2.25. (PS3.5 B.2) and 128 bits of its keyed BLAKE2b.

    Raises:
        SourceError: if there is no key.
    """
    return f"2.25.{int.from_bytes(keyed_digest(uid, key)[:16], 'big')}"
