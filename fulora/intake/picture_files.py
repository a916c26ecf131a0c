"""Picture files of a folder: which files count, and which names are allowed."""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from fulora.intake.raw_image import FILE_NOT_FOUND, OnSkip, SourceError, path_within, refuse

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
COMPANIONS = (".txt", ".caption", ".csv", ".json", ".jsonl", ".md", ".xlsx", ".npz", ".yaml", ".html", ".pdf")
"""Files that may lie beside pictures: lists, captions, papers, and caches of trainers."""

CLUTTER = (
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("__macosx", "icon\r", "lost+found", "@eadir", "@recycle", "#recycle", "@tmp"),
)
"""Files and folders that Windows, macOS, Linux and network drives create, beside hidden ones."""

TEXTS = ("license", "readme")
MAX_NAME = 180
"""Bytes: image ids are made of names, and have at most 200 characters."""


def find_pictures(folder: Path, on_skip: OnSkip = refuse, endings: tuple[str, ...] = PICTURES) -> list[Path]:
    """Return every picture file below a folder, sorted by name.

    Hidden files, system files, lists and captions are ignored. All else is passed to `on_skip`: other kinds of files,
    links that lead out, links to folders, folders and pipes with a picture's ending, and names that differ from an
    earlier one only in case, ending or `/` for `_`.

    Raises:
        SourceError: if there is no such folder.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    pictures: dict[str, Path] = {}
    for path in sorted(_walk(folder, endings, on_skip)):
        try:
            name = _check_file(folder, path, endings)
        except SourceError as error:
            on_skip(str(error))
            continue
        key = unicodedata.normalize("NFC", name.removesuffix(path.suffix).replace("/", "_")).casefold()
        if path.suffix.lower() in COMPANIONS:
            continue
        if key in pictures:
            on_skip(f"{path}: same name as {pictures[key].name} except for case, ending or folder; rename it")
        else:
            pictures[key] = path
    return list(pictures.values())


def _walk(folder: Path, endings: tuple[str, ...], on_skip: OnSkip) -> Iterator[Path]:
    def report(error: OSError) -> None:
        on_skip(f"{error.filename}: cannot be opened ({error.strerror})")

    for parent, folders, files in os.walk(folder, onerror=report):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        for path in [Path(parent, name) for name in folders]:
            if path.is_symlink() or path.suffix.lower() in endings:
                folders.remove(path.name)
                on_skip(f"{path}: {'a link to a folder' if path.is_symlink() else 'a folder'}, not a picture")
        yield from (Path(parent, name) for name in files if not is_clutter(name) and name.lower() not in TEXTS)


def is_clutter(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or created by an operating system."""
    return name.startswith(".") or name.lower() in CLUTTER


def list_files(folder: Path) -> Iterator[Path]:
    """Yield every file and link below a folder, sorted by name, without clutter and what lies in it.

    Links to folders are not followed, and folders that cannot be opened count as empty.
    """
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        yield from (Path(parent, name) for name in sorted(files) if not is_clutter(name))


def list_folder(folder: Path) -> list[Path]:
    """Return the files and folders in a folder, sorted by name, without clutter."""
    return sorted(path for path in folder.iterdir() if not is_clutter(path.name))


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM files do: "DICM" at byte 128."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _check_file(folder: Path, path: Path, endings: tuple[str, ...]) -> str:
    name = path.relative_to(folder).as_posix()
    check_name(name)
    if path.suffix.lower() not in (*endings, *COMPANIONS):
        raise SourceError(f"{path}: unsupported kind of file; supported: {', '.join(endings)}")
    _resolve(folder, name)
    if not path.is_file():
        raise SourceError(f"{path}: {'a broken link' if path.is_symlink() else 'no regular file'}; remove it")
    return name


def check_name(name: str) -> None:
    r"""Check the name of a file, relative to its folder.

    Raises:
        SourceError: if it is empty, longer than 180 bytes, a Windows path, no valid file name on every system, or holds
            a control character or bytes that are not UTF-8.
    """
    if not name:
        raise SourceError("a file name is empty; it must name a picture")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        raise SourceError(f"{name!r}: a file name with a control character or bytes that are not UTF-8; rename it")
    if re.match(r"[A-Za-z]:|.*\\", name):
        raise SourceError(f"{name!r}: a Windows path; write file names with / and relative to their folder")
    if re.search(r'[:*?"<>|]|[ .]$', name.removesuffix(Path(name).suffix)):
        raise SourceError(f'{name!r}: not valid on every system; rename it without : * ? " < > | and a trailing blank')
    if len(name.encode()) > MAX_NAME:
        raise SourceError(f"{name[:60]!r}...: a file name of {len(name.encode())} bytes; the limit is {MAX_NAME}")


def _resolve(folder: Path, name: str) -> Path:
    try:
        return path_within(folder, name)
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{folder / name}: a broken link ({error}); remove it") from error


def listed_file(folder: Path, name: str) -> Path:
    """Return the path of a file that a list names.

    Raises:
        SourceError: if the name is not allowed (`check_name`) or leads out of the folder, or the file does not exist.
    """
    check_name(name)
    if ".." in Path(name).parts:
        raise SourceError(f"{name!r} leads out of {folder}; write file names without ..")
    path = _resolve(folder, name)
    if not path.is_file():
        raise SourceError(f"{path}: {FILE_NOT_FOUND}")
    return path
