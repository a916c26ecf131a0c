"""Detection of a folder's layout by its characteristic files."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fulora.data import label_class
from fulora.data.column_types import SPLITS
from fulora.data.label_set import shipped_class
from fulora.data.tables.cells import comparable_name
from fulora.intake.config import SourceKind
from fulora.intake.patient_pattern import MASK_FOLDERS, PATIENT, SPLIT_FOLDERS
from fulora.intake.picture_files import PICTURES, is_dicom, list_files, list_folder
from fulora.intake.published_lists import read_header
from fulora.intake.raw_image import SourceError
from fulora.intake.sources.fetal_planes import LISTS as FETAL_LISTS
from fulora.intake.sources.hc18 import LISTS as HC18_LISTS
from fulora.intake.sources.kohya import ENDINGS as CAPTIONS
from fulora.intake.sources.lora_planes import PLANES as LORA_PLANES

MAX_FILES = 2000
"""Number of files that are examined to find a DICOM file."""


def detect_layout(folder: Path) -> tuple[SourceKind, Path]:
    """Return the layout of a folder, and the folder that has it: itself, or its only subfolder.

    Raises:
        SourceError: if there is no such folder, or its layout is unknown.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    while True:
        for kind, has_layout in LAYOUT_TESTS.items():
            if has_layout(folder):
                return kind, folder
        entries = list_folder(folder)
        if len(entries) != 1 or not entries[0].is_dir() or entries[0].is_symlink():
            break
        folder = entries[0]
    raise SourceError(
        f"{folder}: unknown layout (known: {', '.join(LAYOUT_TESTS)}); put images into one folder per class, or set "
        "kind=... and its settings (there are kinds for images and masks in two folders, and for parquet and other "
        "sets of datasets: configs/README.md)"
    )


def _has_list(folder: Path, columns: set[str]) -> bool:
    lists = (path for path in list_folder(folder) if path.suffix == ".csv")
    return any({*map(comparable_name, columns)} <= {*map(comparable_name, read_header(path))} for path in lists)


def _lora(folder: Path) -> bool:
    return (folder / "lora_train_data.csv").is_file() and all((folder / plane).is_dir() for plane in LORA_PLANES)


def _african(folder: Path) -> bool:
    return any(_has_list(folder, {"Patient_num", "Plane", "Center", name}) for name in ("Image_name", "Filename"))


def _imagefolder(folder: Path) -> bool:
    names = ("metadata.jsonl", "metadata.csv")
    return any((folder / place / name).is_file() for place in ("", *SPLITS, "val", "valid") for name in names)


def _kohya(folder: Path) -> bool:
    """Return whether a folder such as `20_fetal` has captions or a shipped class; `4_chamber` alone is not enough."""
    numbered = [path for path in list_folder(folder) if path.is_dir() and re.match(r"\d+_", path.name)]
    return any(shipped_class(path.name.partition("_")[2]) or any(_files(path, CAPTIONS)) for path in numbered)


def _class_folders(folder: Path) -> bool:
    """Return whether a folder is named after a class of a shipped label set, or two look like classes."""
    folders = [path for path in list_folder(folder) if path.is_dir()]
    return has_known_classes(folder) or sum(map(_looks_like_a_class, folders)) > 1


def has_known_classes(folder: Path) -> bool:
    """Return whether there are pictures in a subfolder named after a class of a shipped label set."""
    named = [path for path in list_folder(folder) if path.is_dir() and shipped_class(path.name)]
    return any(any(_files(path, PICTURES)) for path in named)


def _files(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    return (path for path in list_files(folder) if path.suffix.lower() in endings)


def _looks_like_a_class(folder: Path) -> bool:
    """Return whether a folder has pictures, directly or by patient, and is not named like a patient, split or masks."""
    if PATIENT.fullmatch(folder.name) or label_class.comparable_word(folder.name) in (*SPLIT_FOLDERS, *MASK_FOLDERS):
        return False
    return any(path.parent == folder or PATIENT.fullmatch(path.parent.name) for path in _files(folder, PICTURES))


def _dicom(folder: Path) -> bool:
    files = (path for path, _ in zip(list_files(folder), range(MAX_FILES), strict=False) if path.is_file())
    return any(map(is_dicom, files))


LAYOUT_TESTS: Mapping[SourceKind, Callable[[Path], bool]] = {
    "imagefolder": _imagefolder,
    "fetal_planes": lambda folder: any((folder / name).is_file() for name in FETAL_LISTS),
    "lora_planes": _lora,
    "african_planes": _african,
    "hc18": lambda folder: any((folder / name).is_file() for name in HC18_LISTS.values()),
    "psfhs": lambda folder: (folder / "image_mha").is_dir(),
    "kohya": _kohya,
    "class_folders": _class_folders,
    "dicom": _dicom,
}
