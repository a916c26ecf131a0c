"""Which data sets a folder holds: itself one, or several in its folders."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from fulora.intake.check.list_findings import find_lists
from fulora.intake.config import SourceKind
from fulora.intake.folders import list_folder
from fulora.intake.layout_detection import LAYOUT_TESTS, detect_layout, has_known_classes

CERTAIN_LAYOUTS: tuple[SourceKind, ...] = (
    "imagefolder",
    "fetal_planes",
    "lora_planes",
    "african_planes",
    "hc18",
    "psfhs",
)
"""Layouts that lists or folders of their own tell for certain; the others are told by names or single files."""
DEPTH = 3


@dataclass(frozen=True)
class DataSetFolders:
    """The data sets of a folder.

    Attributes:
        folders: those that hold one each.
        others: folders in which none was found, and links to folders, which are not followed.
    """

    folders: tuple[Path, ...]
    others: tuple[Path, ...] = ()


def find_data_sets(folder: Path) -> DataSetFolders:
    """The data sets of a folder: itself alone, where it has a layout of its own, or those in its folders.

    Raises:
        SourceError: no such folder, or neither it nor a folder in it has a layout that is known.
    """
    found = _without_guesses(_sets(folder, DEPTH)) if folder.is_dir() else DataSetFolders(())
    if found.folders and (len(found.folders) > 1 or found.others):
        return found
    if not found.folders:
        detect_layout(folder)
    return DataSetFolders((folder,))


def _without_guesses(found: DataSetFolders) -> DataSetFolders:
    """The sets, less folders that are only guessed to be of classes, as any folders are, beside sets that are known."""
    if not any(LAYOUT_TESTS[kind](path) for path in found.folders for kind in CERTAIN_LAYOUTS):
        return found
    guessed = {path for path in found.folders if _kind(path) == "class_folders" and not has_known_classes(path)}
    kept = tuple(path for path in found.folders if path not in guessed)
    return DataSetFolders(kept, (*found.others, *(path for path in found.folders if path in guessed)))


def _sets(folder: Path, depth: int) -> DataSetFolders:
    alone = DataSetFolders((folder,))
    folders = [path for path in list_folder(folder) if path.is_dir()]
    if any(LAYOUT_TESTS[kind](folder) for kind in CERTAIN_LAYOUTS) or (find_lists(folder) and not folders):
        return alone
    below = (
        {path: DataSetFolders(()) if path.is_symlink() else _sets(path, depth - 1) for path in folders} if depth else {}
    )
    found = DataSetFolders(
        tuple(chain.from_iterable(sets.folders for sets in below.values())),
        tuple(chain.from_iterable(sets.others if sets.folders else (path,) for path, sets in below.items())),
    )
    listed = any(LAYOUT_TESTS[kind](path) for path in found.folders for kind in CERTAIN_LAYOUTS)
    return alone if not listed and any(shows(folder) for shows in LAYOUT_TESTS.values()) else found


def _kind(folder: Path) -> SourceKind | None:
    return next((kind for kind, shows in LAYOUT_TESTS.items() if shows(folder)), None)
