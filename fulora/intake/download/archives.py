"""Safe extraction of untrusted archives: nothing is written outside of the folder, and the disk is not filled.

`zipfile` and `tarfile` only read. Each member's bytes are copied to a checked path, so that no link, device, owner or
permission of an archive is written, independently of the libraries' own filters.
"""

import gzip
import json
import lzma
import shutil
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from fulora.files import move_into_place, partial_folder, scratch_folder
from fulora.intake.download.archive_members import CHUNK, ArchiveError, ArchiveMember, read_members
from fulora.intake.picture_files import is_clutter

RECORD = ".extracted.json"


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits of an archive. The published data sets are below a tenth of each.

    Attributes:
        ratio: extracted bytes per byte of the archive; checked only beyond `small_bytes`.
    """

    members: int = 200_000
    total_bytes: int = 30_000_000_000
    ratio: int = 100
    small_bytes: int = 10_000_000
    depth: int = 32


PLAIN = ArchiveLimits()


def extract(archive: Path, folder: Path, digest: str, limits: ArchiveLimits = PLAIN) -> None:
    """Extract a .zip, .tar, .tar.gz or .tar.xz (recognised by its first bytes) into a new folder, atomically.

    Files are extracted to `.<folder>.partial`, which is renamed at the end. If there is one top folder (besides
    `__MACOSX`), its content is extracted. A record in the folder serves `check_extracted`.

    Raises:
        ArchiveError: if the archive is damaged or truncated; a name is absolute, leads out, or is a duplicate, except
            perhaps for case; there is a link, device, sparse or encrypted file; members, bytes or their ratio exceed
            `limits`; the disk is full; or `folder` exists.
    """
    if folder.exists() or folder.is_symlink():
        raise ArchiveError(f"{folder} already exists; move it to extract {archive.name} again")
    with scratch_folder(partial_folder(folder)) as scratch:
        with _convert_errors(archive):
            _extract_members(archive, scratch, limits)
        tops = [path for path in scratch.iterdir() if not is_clutter(path.name)]
        if not tops:
            raise ArchiveError(f"{archive}: holds no files")
        root = tops[0] if len(tops) == 1 and tops[0].is_dir() else scratch
        files, size = _count_contents(root)
        record = {"archive": archive.name, "digest": digest, "files": files, "bytes": size}
        (root / RECORD).write_text(json.dumps(record))
        move_into_place(root, folder)


def check_extracted(folder: Path, digest: str | None) -> None:
    """Check that a folder still holds what was extracted, by the number of its files and their bytes.

    Raises:
        ArchiveError: if it was not extracted, extracted from another archive, or changed since.
    """
    again = "move it, and run the command again"
    try:
        record = json.loads((folder / RECORD).read_text())
        files, size, made_from = int(record["files"]), int(record["bytes"]), str(record["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{folder} already exists and was not extracted by this command; {again}") from error
    if digest is not None and made_from != digest:
        raise ArchiveError(f"{folder} was extracted from another archive ({made_from}, not {digest}); {again}")
    if _count_contents(folder) != (files, size):
        now = "{:,} files of {:,} bytes".format(*_count_contents(folder))
        raise ArchiveError(f"{folder} holds {now}, but {files:,} of {size:,} bytes were extracted; {again}")


def describe_lack_of_space(folder: Path, needed: int) -> str:
    """Describe a lack of `needed` bytes on the folder's disk; "" if there is enough space."""
    free = shutil.disk_usage(folder).free
    return "" if needed <= free else f"needs {needed:,} bytes, but {free:,} are free in {folder}; free some space"


def _count_contents(folder: Path) -> tuple[int, int]:
    sizes = [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir() and path != folder / RECORD]
    return len(sizes), sum(sizes)


@contextmanager
def _convert_errors(archive: Path) -> Iterator[None]:
    broken = (
        *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
        *(EOFError, ValueError, NotImplementedError, OverflowError),
    )
    try:
        yield
    except ArchiveError as error:
        raise ArchiveError(f"{archive}: {error}") from error
    except broken as error:
        raise ArchiveError(f"{archive}: damaged or incomplete ({error}); remove it and download it again") from error
    except OSError as error:
        raise ArchiveError(f"{archive}: cannot be extracted ({error})") from error


def _extract_members(archive: Path, scratch: Path, limits: ArchiveLimits) -> None:
    size = archive.stat().st_size
    allowed = min(limits.total_bytes, max(limits.small_bytes, limits.ratio * size))
    seen: dict[PurePosixPath, tuple[PurePosixPath, bool]] = {}
    written = 0
    for number, member in enumerate(read_members(archive), 1):
        if number > limits.members:
            raise ArchiveError(f"more than {limits.members:,} members, more than any published data set")
        path = _check_member(member, limits.depth)
        if path != PurePosixPath():
            _refuse_duplicate(path, member.kind == "file", seen)
        if member.kind == "folder":
            (scratch / path).mkdir(parents=True, exist_ok=True)
            continue
        if written + member.size > allowed:
            raise ArchiveError(_bomb(written + member.size, allowed, size))
        if lacking := describe_lack_of_space(scratch.parent, member.size):
            raise ArchiveError(f"{member.name} {lacking}")
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        with member.read() as source, (scratch / path).open("xb") as target:
            written = _copy(source, target, member, written, allowed, size)


def _copy(source: IO[bytes], target: IO[bytes], member: ArchiveMember, written: int, allowed: int, size: int) -> int:
    before = written
    while chunk := source.read(CHUNK):
        written += len(chunk)
        if written > allowed:
            raise ArchiveError(_bomb(written, allowed, size))
        target.write(chunk)
    size = written - before
    if size != member.size:
        raise ArchiveError(f"{member.name!r} has {size:,} bytes, but {member.size:,} in its header: damaged")
    return written


def _bomb(unpacked: int, allowed: int, size: int) -> str:
    return f"{size:,} bytes that expand to {unpacked:,} or more; the limit is {allowed:,}, above which no data set is"


def _check_member(member: ArchiveMember, depth: int) -> PurePosixPath:
    name = member.name
    if member.kind not in ("file", "folder"):
        raise ArchiveError(f"{name!r}: {member.kind}; only plain files and folders are extracted")
    if not name.isprintable() or "\\" in name or ":" in name:
        raise ArchiveError(f"{name!r} has a backslash, a colon or an unprintable character in its name")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ArchiveError(f"{name!r} leads out of the folder")
    if len(path.parts) > depth:
        raise ArchiveError(f"{name[:80]!r}... is {len(path.parts)} folders deep; the limit is {depth}")
    if member.kind == "file" and (path == PurePosixPath() or name.endswith("/")):
        raise ArchiveError(f"{name!r} is not a file name")
    return path


def _refuse_duplicate(
    path: PurePosixPath, is_file: bool, seen: dict[PurePosixPath, tuple[PurePosixPath, bool]]
) -> None:
    """Register a path and its parents; refuse duplicates, also those that only some file systems see as equal."""
    for place in (*path.parents[-2::-1], path):
        entry = (place, is_file and place is path)
        key = PurePosixPath(*(unicodedata.normalize("NFC", part).casefold().rstrip(". ") for part in place.parts))
        if key in seen and (entry[1] or seen[key] != entry):
            raise ArchiveError(f"'{path}' and '{seen[key][0]}' are duplicates, at least on some file systems")
        seen[key] = entry
