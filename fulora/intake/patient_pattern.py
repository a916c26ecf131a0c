"""Classes and patients by the names of folders and files."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from fulora.data.label_class import comparable_word
from fulora.data.tables.cells import is_missing
from fulora.intake.raw_image import FolderError, SourceError

PATIENT = re.compile(r"(patient|pat|case|subject|sub|p|id)[ _-]*\d+", re.IGNORECASE)
"""Usual names of the folder of one patient."""

NO_PATIENT = "finds no patient in the name"
"""Part of the message about a name that a patient pattern does not match."""

SPLIT_FOLDERS = ("train", "training", "val", "valid", "validation", "test", "testing")
MASK_FOLDERS = ("image", "images", "mask", "masks")
"""Names of folders that hold a split, or images and masks side by side, and no class."""


def folder_class(folder: Path) -> str:
    """Return the class whose images a folder holds: its name, in Unicode's composed form (NFC).

    Raises:
        FolderError: if it is named like a split, or like a folder of images or masks.
    """
    name = comparable_word(folder.name)
    if name in SPLIT_FOLDERS:
        raise FolderError(
            f"{folder}: is named like a split, not like a class: its layout is one folder of classes per split. "
            f"Give each as a source of its own: folder: .../{folder.name}, with its role"
        )
    if name in MASK_FOLDERS:
        raise FolderError(
            f"{folder}: is named like a folder of images or masks, not like a class; images and masks in two folders "
            "side by side are of kind: parallel_folders"
        )
    return unicodedata.normalize("NFC", folder.name)


def patient_finder(pattern: str | None, patients_unknown: bool, classes_on_top: bool = True) -> Callable[[str], str]:
    r"""Return a function from a file name, relative to its source's folder, to the patient in NFC.

    Args:
        pattern: a regular expression with one group, the patient: `Patient(\d+)`. It may match anywhere.
        patients_unknown: without a pattern, treat every image as a patient of its own. Images of one patient may then
            be in training and in test, and scores be too high: only for data without patient information.
        classes_on_top: whether the first folder of a name is a class, and so no patient.

    Raises:
        SourceError: if neither or both are given, or the pattern is invalid or without exactly one group. The returned
            function raises it for a name that does not match, and FolderError for a match with a folder or class name.
    """
    if (pattern is None) != patients_unknown:
        raise SourceError("patients are unknown: set patient_pattern, such as Patient(\\d+), or patients_unknown=true")
    if pattern is None:
        return lambda name: name
    try:
        compiled = re.compile(unicodedata.normalize("NFC", pattern))
    except re.error as error:
        raise SourceError(f"patient_pattern {pattern!r} is not a regular expression ({error})") from error
    if compiled.groups != 1:
        raise SourceError(f"patient_pattern {pattern!r} has {compiled.groups} groups; it needs one, the patient")
    return lambda name: _match_patient(compiled, name, classes_on_top)


def _match_patient(pattern: re.Pattern[str], name: str, classes_on_top: bool) -> str:
    match = pattern.search(unicodedata.normalize("NFC", name))
    if match and match[1] and ("/" in match[1] or (classes_on_top and _is_class_name(match[1], name))):
        raise FolderError(
            f"patient_pattern {pattern.pattern!r} takes {match[1]!r} of '{name}' for the patient, which "
            f"{'contains' if '/' in match[1] else 'is'} the name of a folder: the pattern is searched in the path "
            "below the source's folder. Let the group match the patient alone, without '/', such as ([^/]+)_ "
            r"for liver/W2_1, or Patient(\d+)"
        )
    if not match or is_missing(match[1]):
        if match and match[1]:
            raise SourceError(f"{name}: patient_pattern {pattern.pattern!r} finds {match[1]!r}, which is not a patient")
        raise SourceError(f"{name}: patient_pattern {pattern.pattern!r} {NO_PATIENT}")
    return str(match[1])


def _is_class_name(matched: str, name: str) -> bool:
    """Return whether a match is the name of the top folder, or a word of it: `liver` of `Fetal liver`."""
    top, slash, _ = name.partition("/")
    return bool(slash) and (
        comparable_word(matched) == comparable_word(top)
        or (matched.isalpha() and comparable_word(matched) in comparable_word(top).split())
    )
