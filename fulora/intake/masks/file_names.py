"""Distinguish masks from images, and pair them, by their names."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from fulora.intake.picture_files import PICTURES, list_files

_WORDS = "mask|annotation|segmentation|seg|label|gt|pred|prediction"
MASK_SUFFIX = re.compile(rf"[ _.-]+(?:(?:{_WORDS})s?|(?:mask|annotation|segmentation)s?[ _.-]?\d+)$", re.IGNORECASE)
"""End of a mask's name: `010_HC_Mask`, `a_seg`, `benign (1)_mask_1`."""

MASK_PREFIX = re.compile(r"(?:mask|annotation|segmentation|seg)s?[ _.-]+(?=.)", re.IGNORECASE)
"""Start of a mask's name: `mask_010`."""

MASK_FOLDER = re.compile(
    rf"(?:.*[ _.-])?(?:{_WORDS}|ground[ _-]?truth)s?(?:[ _.-](?:mha|nii|png|tiff?))?", re.IGNORECASE
)
"""Name of a folder of masks: `masks`, `label_mha`, `train_labels`, `gt`."""

ANNOTATION = re.compile(r"_annotation$", re.IGNORECASE)


def file_stem(path: Path) -> str:
    """Return the file's name without its ending; `.nii.gz` is one ending."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def case_name(path: Path) -> str:
    """Return the name by which masks, images and rows of lists are paired.

    It is the file's name without folder and ending, in Unicode's composed form (NFC), and without the part that marks
    a mask (`_Mask`, `_Annotation`, `_seg`, `mask_`, ...).
    """
    stem = unicodedata.normalize("NFC", file_stem(path))
    if prefix := MASK_PREFIX.match(stem):
        return stem[prefix.end() :]
    return MASK_SUFFIX.sub("", stem) or stem


def is_named_as_mask(folder: Path, path: Path) -> bool:
    """Return whether the name of a file, or of a folder between it and `folder`, marks a mask."""
    stem = file_stem(path)
    if MASK_SUFFIX.search(stem) or MASK_PREFIX.match(stem):
        return True
    return any(MASK_FOLDER.fullmatch(name) for name in path.relative_to(folder).parts[:-1])


def separate_masks(folder: Path, files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the images among files below `folder`, and the masks, each in the given order."""
    pictures: list[Path] = []
    masks: list[Path] = []
    for path in files:
        (masks if is_named_as_mask(folder, path) else pictures).append(path)
    return pictures, masks


def find_pictures_and_masks(folder: Path, endings: tuple[str, ...] = PICTURES) -> tuple[list[Path], list[Path]]:
    """Return the images below a folder, and the masks, each sorted by name.

    Other files are ignored, and so is the folder `audit` of an image set, which documents what was removed.
    """
    audit = folder / "audit"
    has_audit = (audit / "summary.json").is_file()
    files = (path for path in list_files(folder) if path.name.lower().endswith(endings) and path.is_file())
    return separate_masks(folder, sorted(path for path in files if not (has_audit and path.is_relative_to(audit))))
