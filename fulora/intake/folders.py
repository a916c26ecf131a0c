"""Folders as people have them: which files are pictures, which class a folder holds, whose image a name says it is."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora.data.label_class import plain
from fulora.data.pictures.marking import mark_in
from fulora.data.tables.cells import is_missing
from fulora.intake.formats.decode import read_gray_and_info
from fulora.intake.formats.metaimage import read_picture
from fulora.intake.raw_image import FILE_NOT_FOUND, FolderError, OnSkip, SourceError, path_within, refuse

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
BESIDE = (".txt", ".caption", ".csv", ".json", ".jsonl", ".md", ".xlsx", ".npz", ".yaml", ".html", ".pdf")
"""Files that may lie beside pictures: lists, captions, papers, and what trainers keep of a picture."""

CLUTTER = (
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "__macosx",
    "icon\r",
    "lost+found",
    "@eadir",
    "@recycle",
    "#recycle",
    "@tmp",
)
"""What Windows, macOS, Linux and network drives leave in folders, beside hidden files."""

TEXTS = ("license", "readme")
PATIENT = re.compile(r"(patient|pat|case|subject|sub|p|id)[ _-]*\d+", re.IGNORECASE)
"""How a folder of one patient is named."""

MAX_NAME = 180
"""Bytes: an image set makes its ids of these, and ids have at most 200 characters."""

NO_PATIENT = "finds no patient in the name"
"""What a message says of a name that a patient pattern does not match."""

SPLIT_FOLDERS = ("train", "training", "val", "valid", "validation", "test", "testing")
MASK_FOLDERS = ("image", "images", "mask", "masks")
"""Folders that hold a split, or images and masks beside one another, and no class."""


def find_pictures(folder: Path, on_skip: OnSkip = refuse, endings: tuple[str, ...] = PICTURES) -> list[Path]:
    """Every picture file below a folder, in the order of their names.

    Hidden files and what operating systems leave behind do not count, nor do lists and captions. Everything else that
    is no such file is told to `on_skip`: other kinds, links that lead out, links to folders, folders and pipes that
    are named like pictures, names that differ from one before only in case, ending or `/` for `_`.

    Raises:
        SourceError: no such folder.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(_files(folder, endings, on_skip)):
        try:
            name = _usable(folder, path, endings)
        except SourceError as error:
            on_skip(str(error))
            continue
        key = unicodedata.normalize("NFC", name.removesuffix(path.suffix).replace("/", "_")).casefold()
        if path.suffix.lower() in BESIDE:
            continue
        if key in found:
            on_skip(f"{path}: named like {found[key].name} but for case, ending or folder; give it another name")
        else:
            found[key] = path
    return list(found.values())


def _files(folder: Path, endings: tuple[str, ...], on_skip: OnSkip) -> Iterator[Path]:
    def shut(error: OSError) -> None:
        on_skip(f"{error.filename}: cannot be opened ({error.strerror})")

    for place, folders, files in os.walk(folder, onerror=shut):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        for path in [Path(place, name) for name in folders]:
            if path.is_symlink() or path.suffix.lower() in endings:
                folders.remove(path.name)
                on_skip(f"{path}: {'a link to a folder' if path.is_symlink() else 'a folder'}, and no picture")
        yield from (Path(place, name) for name in files if not is_clutter(name) and name.lower() not in TEXTS)


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or what an operating system left behind."""
    return name.startswith(".") or name.lower() in CLUTTER


def list_files(folder: Path) -> Iterator[Path]:
    """Every file and link below a folder, in the order of their names; clutter, and what lies in it, is passed over.

    Links to folders are not followed, and folders that cannot be opened hold nothing.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        yield from (Path(place, name) for name in sorted(files) if not is_clutter(name))


def list_folder(folder: Path) -> list[Path]:
    """The files and folders in a folder, in the order of their names, without clutter."""
    return sorted(path for path in folder.iterdir() if not is_clutter(path.name))


def _usable(folder: Path, path: Path, endings: tuple[str, ...]) -> str:
    name = path.relative_to(folder).as_posix()
    check_name(name)
    if path.suffix.lower() not in (*endings, *BESIDE):
        raise SourceError(f"{path}: not a kind of file that is read here; read are {', '.join(endings)}")
    _inside(folder, name)
    if not path.is_file():
        raise SourceError(f"{path}: {'a link to nothing' if path.is_symlink() else 'no regular file'}; remove it")
    return name


def check_name(name: str) -> None:
    r"""Check the name of a file, relative to its folder.

    Raises:
        SourceError: empty, longer than 180 bytes, a Windows path, with a line break or another control character, with
            bytes that are not UTF-8, or no file name on every system.
    """
    if not name:
        raise SourceError("a file name is empty; it must name a picture")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        raise SourceError(f"{name!r}: a file name with a control character or bytes that are not UTF-8; rename it")
    if re.match(r"[A-Za-z]:|.*\\", name):
        raise SourceError(f"{name!r}: a Windows path; name files with / and from the folder that they are in")
    if re.search(r'[:*?"<>|]|[ .]$', name.removesuffix(Path(name).suffix)):
        raise SourceError(f'{name!r}: no file name on every system; rename it without : * ? " < > | and a last blank')
    if len(name.encode()) > MAX_NAME:
        raise SourceError(f"{name[:60]!r}...: a file name of {len(name.encode())} bytes; allowed are {MAX_NAME}")


def _inside(folder: Path, name: str) -> Path:
    try:
        return path_within(folder, name)
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{folder / name}: a link that leads nowhere ({error}); remove it") from error


def listed_file(folder: Path, name: str) -> Path:
    """The file `name` of a folder, as a list names it.

    Raises:
        SourceError: a name that cannot be used (`check_name`), that leads out of the folder, or of no file.
    """
    check_name(name)
    if ".." in Path(name).parts:
        raise SourceError(f"{name!r} leads out of {folder}; name files without ..")
    path = _inside(folder, name)
    if not path.is_file():
        raise SourceError(f"{path}: {FILE_NOT_FOUND}")
    return path


def folder_class(folder: Path) -> str:
    """The name of the class that a folder holds: its own, in Unicode's composed form (NFC).

    Raises:
        SourceError: it is named like a split, or like the two folders of images and masks.
    """
    name = plain(folder.name)
    if name in SPLIT_FOLDERS:
        raise FolderError(
            f"{folder}: is named like a split, and no class is; its layout is one folder of classes for each split. "
            f"Give each as a source of its own: folder: .../{folder.name}, with the role that it has"
        )
    if name in MASK_FOLDERS:
        raise FolderError(
            f"{folder}: is named as a folder of images or masks, and no class is; images and masks in two folders side "
            "by side are of kind: parallel_folders"
        )
    return unicodedata.normalize("NFC", folder.name)


def patient_finder(pattern: str | None, patients_unknown: bool, classes_on_top: bool = True) -> Callable[[str], str]:
    r"""What tells the patient from a file name, relative to its source's folder, in Unicode's composed form (NFC).

    Args:
        pattern: a regular expression with one group, the patient: `Patient(\d+)`. It may match anywhere.
        patients_unknown: without a pattern, take every image as a patient of its own. Images of one woman may then
            stand in training and in test, and scores come out too high: for data of which nothing better is known.
        classes_on_top: whether the first folder of a name is a class, and so no patient.

    Raises:
        SourceError: neither or both are given, or the pattern is none or has not one group. What is returned raises it
            for a name that does not match, and FolderError for a match that holds a folder or is a class's name.
    """
    if (pattern is None) != patients_unknown:
        raise SourceError(
            "it must be said whose images these are: give patient_pattern, such as Patient(\\d+), "
            "or patients_unknown=true"
        )
    if pattern is None:
        return lambda name: name
    try:
        compiled = re.compile(unicodedata.normalize("NFC", pattern))
    except re.error as error:
        raise SourceError(f"patient_pattern {pattern!r} is no regular expression ({error})") from error
    if compiled.groups != 1:
        raise SourceError(f"patient_pattern {pattern!r} has {compiled.groups} groups; it needs one, the patient")
    return lambda name: _group(compiled, name, classes_on_top)


def _group(pattern: re.Pattern[str], name: str, classes_on_top: bool) -> str:
    match = pattern.search(unicodedata.normalize("NFC", name))
    if match and match[1] and ("/" in match[1] or (classes_on_top and _names_class(match[1], name))):
        raise FolderError(
            f"patient_pattern {pattern.pattern!r} takes {match[1]!r} of '{name}' for the patient, which "
            f"{'holds' if '/' in match[1] else 'is'} the name of a folder: the pattern is searched in the whole path "
            "below the source's folder. Let the group match the patient alone, with no '/' in it, such as ([^/]+)_ "
            r"for liver/W2_1, or Patient(\d+)"
        )
    if not match or is_missing(match[1]):
        if match and match[1]:
            raise SourceError(f"{name}: patient_pattern {pattern.pattern!r} finds {match[1]!r}, which names nobody")
        raise SourceError(f"{name}: patient_pattern {pattern.pattern!r} {NO_PATIENT}")
    return str(match[1])


def _names_class(found: str, name: str) -> bool:
    """Whether what a pattern found is the name of the top folder, or a word of it: `liver` of `Fetal liver`."""
    top, slash, _ = name.partition("/")
    return bool(slash) and (plain(found) == plain(top) or (found.isalpha() and plain(found) in plain(top).split()))


def read_real_picture(path: Path, content: bytes | None = None) -> UInt8[np.ndarray, "h w"]:
    """`read_picture`, for folders in which generated pictures may have been put.

    Args:
        content: of the file, where it is not on the disk by itself.

    Raises:
        SourceError: as `read_picture`, or the file says that it is synthetic: a mark of fulora's or the IPTC's, or the
            parameters that Stable Diffusion's web interface writes.
    """
    if content is None and path.suffix.lower() == ".mha":
        return read_picture(path)
    pixels, info = read_gray_and_info(path, content)
    mark, web_ui = mark_in(info), "Sampler:" in str(info.get("parameters", ""))
    if web_ui or (mark is not None and mark.synthetic):
        raise SourceError(f"{path}: says that it is synthetic; synthetic images are mixed in, not curated")
    return pixels
