"""Which files of a folder are masks and which are pictures, told by their names: one rule for every command."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from fulora.intake.folders import PICTURES, list_files

_WORDS = "mask|annotation|segmentation|seg|label|gt|pred|prediction"
MASK_SUFFIX = re.compile(rf"[ _.-]+(?:(?:{_WORDS})s?|(?:mask|annotation|segmentation)s?[ _.-]?\d+)$", re.IGNORECASE)
"""How the name of a mask ends: `010_HC_Mask`, `a_seg`, `benign (1)_mask_1`."""

MASK_PREFIX = re.compile(r"(?:mask|annotation|segmentation|seg)s?[ _.-]+(?=.)", re.IGNORECASE)
"""How it may begin instead: `mask_010`."""

MASK_FOLDER = re.compile(
    rf"(?:.*[ _.-])?(?:{_WORDS}|ground[ _-]?truth)s?(?:[ _.-](?:mha|nii|png|tiff?))?", re.IGNORECASE
)
"""The name of a folder of masks: `masks`, `label_mha`, `train_labels`, `gt`."""

RING = re.compile(r"_annotation$", re.IGNORECASE)


def file_stem(path: Path) -> str:
    """The file's name without its ending, of which `.nii.gz` is one."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def case_name(path: Path) -> str:
    """The name by which masks, images and lists belong together.

    Without folder and ending, its accents composed (macOS takes them apart), and without what says that it is a
    mask (`_Mask`, `_Annotation`, `_seg`, `mask_`, ...).
    """
    stem = unicodedata.normalize("NFC", file_stem(path))
    if before := MASK_PREFIX.match(stem):
        return stem[before.end() :]
    return MASK_SUFFIX.sub("", stem) or stem


def is_named_as_mask(folder: Path, path: Path) -> bool:
    """Whether the name of a file, or that of a folder between it and `folder`, says that it is a mask."""
    stem = file_stem(path)
    inside = path.relative_to(folder).parts[:-1]
    named = MASK_SUFFIX.search(stem) or MASK_PREFIX.match(stem)
    return bool(named) or any(MASK_FOLDER.fullmatch(name) for name in inside)


def separate_masks(folder: Path, files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The pictures among files below `folder`, and the masks, each in the given order."""
    pictures: list[Path] = []
    masks: list[Path] = []
    for path in files:
        (masks if is_named_as_mask(folder, path) else pictures).append(path)
    return pictures, masks


def find_pictures_and_masks(folder: Path, endings: tuple[str, ...] = PICTURES) -> tuple[list[Path], list[Path]]:
    """The picture files below a folder that show something, and those that are masks, in the order of their names.

    Every other file is passed over, and so is the folder `audit` of an image set, which shows what was removed.
    """
    found = (path for path in list_files(folder) if path.name.lower().endswith(endings) and path.is_file())
    audit = folder / "audit"
    shown = [path for path in found if not (path.is_relative_to(audit) and (audit / "summary.json").is_file())]
    return separate_masks(folder, sorted(shown))
