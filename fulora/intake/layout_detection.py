"""Which layout a folder has, told by the files that only it has."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fulora.data import label_class
from fulora.data.label_set import shipped_class
from fulora.data.labels import SPLITS
from fulora.data.tables.cells import plain
from fulora.intake.config import SourceKind
from fulora.intake.folders import MASK_FOLDERS, PATIENT, PICTURES, SPLIT_FOLDERS, list_files, list_folder
from fulora.intake.raw_image import SourceError
from fulora.intake.sources.fetal_planes import LISTS as FETAL_LISTS
from fulora.intake.sources.hc18 import LISTS as HC18_LISTS
from fulora.intake.sources.kohya import ENDINGS as CAPTIONS
from fulora.intake.sources.lora_planes import PLANES as LORA_PLANES
from fulora.intake.tables import read_header

LOOKED_AT = 2000
"""Files that are looked at for one that is DICOM."""


def detect_layout(folder: Path) -> tuple[SourceKind, Path]:
    """The layout of a folder, and the folder that has it: itself, or the only one in it.

    Raises:
        SourceError: no such folder, or none of the layouts.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    while True:
        for kind, shows in LAYOUT_TESTS.items():
            if shows(folder):
                return kind, folder
        there = list_folder(folder)
        if len(there) != 1 or not there[0].is_dir() or there[0].is_symlink():
            break
        folder = there[0]
    raise SourceError(
        f"{folder}: unknown layout (known: {', '.join(LAYOUT_TESTS)}); put images into one folder per class, or set "
        "kind=... with what the kind needs (there are kinds for images and masks in two folders, and for parquet and "
        "other sets of datasets: configs/README.md)"
    )


def _has_list(folder: Path, columns: set[str]) -> bool:
    lists = (path for path in list_folder(folder) if path.suffix == ".csv")
    return any({*map(plain, columns)} <= {*map(plain, read_header(path))} for path in lists)


def _fetal(folder: Path) -> bool:
    return any((folder / name).is_file() for name in FETAL_LISTS)


def _lora(folder: Path) -> bool:
    return (folder / "lora_train_data.csv").is_file() and all((folder / plane).is_dir() for plane in LORA_PLANES)


def _african(folder: Path) -> bool:
    return any(_has_list(folder, {"Patient_num", "Plane", "Center", name}) for name in ("Image_name", "Filename"))


def _hc18(folder: Path) -> bool:
    return any((folder / name).is_file() for name in HC18_LISTS.values())


def _imagefolder(folder: Path) -> bool:
    names = ("metadata.jsonl", "metadata.csv")
    return any((folder / place / name).is_file() for place in ("", *SPLITS, "val", "valid") for name in names)


def _kohya(folder: Path) -> bool:
    """A folder such as `20_fetal` with captions, or the name of a shipped class; not `4_chamber` alone."""
    numbered = [path for path in list_folder(folder) if path.is_dir() and re.match(r"\d+_", path.name)]
    return any(shipped_class(path.name.partition("_")[2]) or any(_captions(path)) for path in numbered)


def _captions(folder: Path) -> Iterator[Path]:
    return (path for path in list_files(folder) if path.suffix.lower() in CAPTIONS)


def _class_folders(folder: Path) -> bool:
    """One folder that is named after a class of a shipped label set, or two that look like classes."""
    there = [path for path in list_folder(folder) if path.is_dir()]
    return has_known_classes(folder) or sum(map(_looks_like_a_class, there)) > 1


def has_known_classes(folder: Path) -> bool:
    """Whether pictures stand below a folder in it that is named after a class of a shipped label set."""
    named = [path for path in list_folder(folder) if path.is_dir() and shipped_class(path.name)]
    return any(True for path in named for _ in _pictures(path))


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in list_files(folder) if path.suffix.lower() in PICTURES)


def _looks_like_a_class(folder: Path) -> bool:
    """Whether pictures stand in a folder itself or in its folders of patients, and it is no patient, split or masks."""
    if PATIENT.fullmatch(folder.name) or label_class.plain(folder.name) in (*SPLIT_FOLDERS, *MASK_FOLDERS):
        return False
    return any(path.parent == folder or PATIENT.fullmatch(path.parent.name) for path in _pictures(folder))


def _dicom(folder: Path) -> bool:
    files = (path for path, _ in zip(list_files(folder), range(LOOKED_AT), strict=False) if path.is_file())
    return any(_magic(path) for path in files)


def _magic(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


LAYOUT_TESTS: Mapping[SourceKind, Callable[[Path], bool]] = {
    "imagefolder": _imagefolder,
    "fetal_planes": _fetal,
    "lora_planes": _lora,
    "african_planes": _african,
    "hc18": _hc18,
    "psfhs": lambda folder: (folder / "image_mha").is_dir(),
    "kohya": _kohya,
    "class_folders": _class_folders,
    "dicom": _dicom,
}
