"""Which data sets a folder holds: itself one, or several in its folders."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from fulora.intake.check.list_findings import lists_in
from fulora.intake.config import SourceKind
from fulora.intake.folders import inside
from fulora.intake.layout_detection import SHOWS, has_known_classes, recognise

LISTED: tuple[SourceKind, ...] = ("imagefolder", "fetal_planes", "lora_planes", "african_planes", "hc18", "psfhs")
"""Layouts that lists or folders of their own tell for certain; the others are told by names or single files."""
DEPTH = 3


@dataclass(frozen=True)
class Sets:
    """The data sets of a folder.

    Attributes:
        folders: those that hold one each.
        others: folders in which none was found, and links to folders, which are not followed.
    """

    folders: tuple[Path, ...]
    others: tuple[Path, ...] = ()


def sets_in(folder: Path) -> Sets:
    """The data sets of a folder: itself alone, where it has a layout of its own, or those in its folders.

    Raises:
        SourceError: no such folder, or neither it nor a folder in it has a layout that is known.
    """
    found = _without_guesses(_sets(folder, DEPTH)) if folder.is_dir() else Sets(())
    if found.folders and (len(found.folders) > 1 or found.others):
        return found
    if not found.folders:
        recognise(folder)
    return Sets((folder,))


def _without_guesses(found: Sets) -> Sets:
    """The sets, less folders that are only guessed to be of classes, as any folders are, beside sets that are known."""
    if not any(SHOWS[kind](path) for path in found.folders for kind in LISTED):
        return found
    guessed = {path for path in found.folders if _kind(path) == "class_folders" and not has_known_classes(path)}
    kept = tuple(path for path in found.folders if path not in guessed)
    return Sets(kept, (*found.others, *(path for path in found.folders if path in guessed)))


def _sets(folder: Path, depth: int) -> Sets:
    alone = Sets((folder,))
    folders = [path for path in inside(folder) if path.is_dir()]
    if any(SHOWS[kind](folder) for kind in LISTED) or (lists_in(folder) and not folders):
        return alone
    below = {path: Sets(()) if path.is_symlink() else _sets(path, depth - 1) for path in folders} if depth else {}
    found = Sets(
        tuple(chain.from_iterable(sets.folders for sets in below.values())),
        tuple(chain.from_iterable(sets.others if sets.folders else (path,) for path, sets in below.items())),
    )
    listed = any(SHOWS[kind](path) for path in found.folders for kind in LISTED)
    return alone if not listed and any(shows(folder) for shows in SHOWS.values()) else found


def _kind(folder: Path) -> SourceKind | None:
    return next((kind for kind, shows in SHOWS.items() if shows(folder)), None)
