"""Archives from outside are unpacked as if they were hostile: nothing leaves the folder, and nothing fills the disk.

`zipfile` and `tarfile` only read here. Each member's bytes are copied to a path that this module has checked, so no
link, device, owner or permission of an archive ever reaches the disk, whatever the libraries' own filters do.
"""

import gzip
import json
import lzma
import os
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from fulora.intake.folders import is_clutter

RECORD = ".extracted.json"
CHUNK = 1 << 16
LARGEST_HEADER = 1 << 20
"""Bytes that one header of a tar may have: `tarfile` reads a header whole, at whatever size it claims."""


class ArchiveError(ValueError):
    """An archive that is damaged or not safe to unpack, or a folder that is not what an archive held."""


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold. The published data sets stay below a tenth of each.

    Attributes:
        members: files and folders.
        total_bytes: unpacked.
        ratio: unpacked bytes per byte of the archive; asked only beyond `small_bytes`.
        depth: folders within folders.
    """

    members: int = 200_000
    total_bytes: int = 30_000_000_000
    ratio: int = 100
    small_bytes: int = 10_000_000
    depth: int = 32


Stream = BufferedReader | gzip.GzipFile | lzma.LZMAFile
Kind = Literal["file", "folder", "link", "device or pipe", "sparse file", "encrypted file"]
PLAIN = ArchiveLimits()


@dataclass(frozen=True)
class _Member:
    """One entry of an archive: its name as written there, its kind, the bytes it says it has, and how to read them."""

    name: str
    kind: Kind
    size: int
    read: Callable[[], IO[bytes]]


def extract(archive: Path, folder: Path, digest: str, limits: ArchiveLimits = PLAIN) -> None:
    """Unpack a .zip, .tar, .tar.gz or .tar.xz (told by its first bytes) into a new folder, whole or not at all.

    The work happens in `.<folder>.partial` beside it, which is renamed at the end. Where everything lies in one top
    folder (a `__MACOSX` beside it aside), the content of that folder is taken. A record of what was unpacked is left
    in the folder for `check_extracted`.

    Args:
        digest: what the archive is known by, "md5:..." or "sha256:...".

    Raises:
        ArchiveError: damaged or truncated; a name that is absolute, leads out, stands twice or differs only in case; a
            link, device, sparse or encrypted file; more members, bytes or bytes per archived byte than `limits`; no
            room on the disk; or `folder` exists.
    """
    if folder.exists() or folder.is_symlink():
        raise ArchiveError(f"{folder} is there already; move it away to unpack {archive.name} anew")
    scratch = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)  # left by a process that was killed
    try:
        scratch.mkdir()
        with _one_error(archive):
            _unpack(archive, scratch, limits)
        tops = [path for path in scratch.iterdir() if not is_clutter(path.name)]
        if not tops:
            raise ArchiveError(f"{archive}: holds no files")
        root = tops[0] if len(tops) == 1 and tops[0].is_dir() else scratch
        files, size = _contents(root)
        record = {"archive": archive.name, "digest": digest, "files": files, "bytes": size}
        (root / RECORD).write_text(json.dumps(record))
        os.rename(root, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_extracted(folder: Path, digest: str | None) -> None:
    """Check that a folder still holds what `extract` put there, by the number of its files and their bytes.

    Args:
        digest: of the archive it should come from; None where that is not known.

    Raises:
        ArchiveError: not made by `extract`, made from another archive, or changed since.
    """
    again = "move it away, and run the command again"
    try:
        record = json.loads((folder / RECORD).read_text())
        files, size, made_from = int(record["files"]), int(record["bytes"]), str(record["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{folder} is in the way: it was not unpacked by this command; {again}") from error
    if digest is not None and made_from != digest:
        raise ArchiveError(f"{folder} was unpacked from another archive ({made_from}, not {digest}); {again}")
    if _contents(folder) != (files, size):
        now = "{:,} files of {:,} bytes".format(*_contents(folder))
        raise ArchiveError(f"{folder} holds {now}, but {files:,} of {size:,} bytes were unpacked; {again}")


def describe_lack_of_space(folder: Path, needed: int) -> str:
    """What to say where fewer than `needed` bytes are free on the folder's disk; "" where they are."""
    free = shutil.disk_usage(folder).free
    return "" if needed <= free else f"needs {needed:,} bytes, but {free:,} are free in {folder}; make room there"


def _contents(folder: Path) -> tuple[int, int]:
    """Number of files and their bytes, the record aside."""
    sizes = [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir() and path != folder / RECORD]
    return len(sizes), sum(sizes)


@contextmanager
def _one_error(archive: Path) -> Iterator[None]:
    """What the libraries raise on damaged archives, as one ArchiveError."""
    broken = (
        zipfile.BadZipFile,
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        ValueError,
        NotImplementedError,
        OverflowError,
    )
    try:
        yield
    except ArchiveError as error:
        raise ArchiveError(f"{archive}: {error}") from error
    except broken as error:
        raise ArchiveError(f"{archive}: damaged or incomplete ({error}); remove it and get it again") from error
    except OSError as error:
        raise ArchiveError(f"{archive}: cannot be unpacked ({error})") from error


def _unpack(archive: Path, scratch: Path, limits: ArchiveLimits) -> None:
    size = archive.stat().st_size
    allowed = min(limits.total_bytes, max(limits.small_bytes, limits.ratio * size))
    seen: dict[PurePosixPath, tuple[PurePosixPath, bool]] = {}
    written = 0
    for number, member in enumerate(_members(archive), 1):
        if number > limits.members:
            raise ArchiveError(f"more than {limits.members:,} members; no published data set has that many")
        path = _safe(member, limits.depth)
        if path != PurePosixPath():
            _claim(path, member.kind == "file", seen)
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


def _copy(source: IO[bytes], target: IO[bytes], member: _Member, written: int, allowed: int, size: int) -> int:
    """Copy one member, counting what really comes; returns the bytes written so far in all."""
    before = written
    while chunk := source.read(CHUNK):
        written += len(chunk)
        if written > allowed:
            raise ArchiveError(_bomb(written, allowed, size))
        target.write(chunk)
    if written - before != member.size:
        raise ArchiveError(f"{member.name!r} has {written - before:,} bytes, its header says {member.size:,}: damaged")
    return written


def _bomb(unpacked: int, allowed: int, size: int) -> str:
    return f"{size:,} bytes that unpack to {unpacked:,} or more, {allowed:,} are allowed: that is no data set"


def _safe(member: _Member, depth: int) -> PurePosixPath:
    """The path of a member within the folder.

    Raises:
        ArchiveError: its kind or its name is refused.
    """
    name = member.name
    if member.kind not in ("file", "folder"):
        raise ArchiveError(f"{name!r}: {member.kind}; only plain files and folders are unpacked")
    if not name.isprintable() or "\\" in name or ":" in name:
        raise ArchiveError(f"{name!r} has a backslash, a colon or a sign that cannot be printed in its name")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ArchiveError(f"{name!r} leads out of the folder it is unpacked to")
    if len(path.parts) > depth:
        raise ArchiveError(f"{name[:80]!r}... lies {len(path.parts)} folders deep; {depth} are allowed")
    if member.kind == "file" and (path == PurePosixPath() or name.endswith("/")):
        raise ArchiveError(f"{name!r} is no name of a file")
    return path


def _claim(path: PurePosixPath, is_file: bool, seen: dict[PurePosixPath, tuple[PurePosixPath, bool]]) -> None:
    """Note a path and the folders above it.

    Raises:
        ArchiveError: it stands there already, in this spelling or one that some file systems take for the same.
    """
    for place in (*path.parents[-2::-1], path):
        entry = (place, is_file and place is path)
        key = PurePosixPath(*(unicodedata.normalize("NFC", part).casefold().rstrip(". ") for part in place.parts))
        if key in seen and (entry[1] or seen[key] != entry):
            raise ArchiveError(f"'{path}' and '{seen[key][0]}' stand for one name: twice, or as some disks read them")
        seen[key] = entry


def _members(archive: Path) -> Iterator[_Member]:
    with archive.open("rb") as file:
        start = file.read(6)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_members(archive)
    if start[:2] == b"\x1f\x8b":
        return _tar_members(lambda: gzip.GzipFile(archive))
    if start == b"\xfd7zXZ\0":
        return _tar_members(lambda: lzma.LZMAFile(archive))
    return _tar_members(lambda: archive.open("rb"))


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind: Kind = "folder" if info.is_dir() else "file"
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "link" if mode == stat.S_IFLNK else "device or pipe"
            elif info.flag_bits & 1:
                kind = "encrypted file"
            yield _Member(info.orig_filename, kind, info.file_size, partial(opened.open, info))


def _tar_members(opener: Callable[[], Stream]) -> Iterator[_Member]:
    """Members in order, read once: neither the list of a tar nor its end can be trusted before it was read through."""
    with opener() as stream:
        watched = _Watched(stream)
        with tarfile.open(fileobj=watched, mode="r:") as opened:  # type: ignore[call-overload]
            for info in opened:
                if info.size < 0:
                    raise ArchiveError(f"{info.name!r} says that it has {info.size} bytes: damaged")
                content: Callable[[], IO[bytes]] = partial(opened.extractfile, info)
                yield _Member(info.name, _kind(info), info.size, content)
        if watched.last != bytes(tarfile.BLOCKSIZE):
            raise ArchiveError("ends without the mark of its end: damaged or incomplete; remove it and get it again")
        behind = 0
        while more := len(stream.read(CHUNK)):  # the checksum of the compression stands at the very end
            behind += more
            if behind > LARGEST_HEADER:
                raise ArchiveError("goes on behind the mark of its end: damaged, or two archives in one")


def _kind(info: tarfile.TarInfo) -> Kind:
    if info.issparse():
        return "sparse file"
    if info.issym() or info.islnk():
        return "link"
    if info.isdir():
        return "folder"
    return "file" if info.isreg() else "device or pipe"


class _Watched:
    """A stream as `tarfile` reads it: no read larger than a header may be, and the last one kept."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.seek, self.tell = stream, stream.seek, stream.tell
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        if not 0 <= size <= LARGEST_HEADER:
            raise ArchiveError(f"a header of {size:,} bytes; {LARGEST_HEADER:,} are allowed")
        self.last = self.stream.read(size)
        return self.last
