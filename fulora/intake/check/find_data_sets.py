"""The data sets of a folder: itself, or several in its subfolders."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from fulora.intake.check.list_findings import find_lists
from fulora.intake.config import SourceKind
from fulora.intake.layout_detection import LAYOUT_TESTS, detect_layout, has_known_classes
from fulora.intake.picture_files import list_folder

CERTAIN_LAYOUTS: tuple[SourceKind, ...] = (
    "imagefolder",
    "fetal_planes",
    "lora_planes",
    "african_planes",
    "hc18",
    "psfhs",
)
"""Layouts with characteristic lists or folders; the others are guessed by names or single files."""
DEPTH = 3


@dataclass(frozen=True)
class DataSetFolders:
    """The data sets of a folder.

    Attributes:
        folders: folders with one data set each.
        others: folders without a data set, and links to folders, which are not followed.
    """

    folders: tuple[Path, ...]
    others: tuple[Path, ...] = ()


def find_data_sets(folder: Path) -> DataSetFolders:
    """Find the data sets of a folder: itself, if it has a layout of its own, or those in its subfolders.

    Raises:
        SourceError: if there is no such folder, or no known layout in it.
    """
    sets = _drop_guesses(_search(folder, DEPTH)) if folder.is_dir() else DataSetFolders(())
    if sets.folders and (len(sets.folders) > 1 or sets.others):
        return sets
    if not sets.folders:
        detect_layout(folder)
    return DataSetFolders((folder,))


def _drop_guesses(sets: DataSetFolders) -> DataSetFolders:
    """Drop class folders that are only guessed, if there are sets with a certain layout."""
    if not any(map(_has_certain_layout, sets.folders)):
        return sets
    guessed = {path for path in sets.folders if _kind(path) == "class_folders" and not has_known_classes(path)}
    kept = tuple(path for path in sets.folders if path not in guessed)
    return DataSetFolders(kept, (*sets.others, *(path for path in sets.folders if path in guessed)))


def _search(folder: Path, depth: int) -> DataSetFolders:
    folders = [path for path in list_folder(folder) if path.is_dir()]
    if _has_certain_layout(folder) or (find_lists(folder) and not folders):
        return DataSetFolders((folder,))
    below = {}
    for path in folders if depth else ():
        below[path] = DataSetFolders(()) if path.is_symlink() else _search(path, depth - 1)
    sets = DataSetFolders(
        tuple(chain.from_iterable(one.folders for one in below.values())),
        tuple(chain.from_iterable(one.others if one.folders else (path,) for path, one in below.items())),
    )
    if _kind(folder) and not any(map(_has_certain_layout, sets.folders)):
        return DataSetFolders((folder,))
    return sets


def _has_certain_layout(folder: Path) -> bool:
    return any(LAYOUT_TESTS[kind](folder) for kind in CERTAIN_LAYOUTS)


def _kind(folder: Path) -> SourceKind | None:
    return next((kind for kind, has_layout in LAYOUT_TESTS.items() if has_layout(folder)), None)
