"""The members of archives, read in order by `zipfile` and `tarfile` without trusting their headers."""

import gzip
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import IO, Literal

CHUNK = 1 << 16
MAX_HEADER = 1 << 20
"""Bytes of one tar header: `tarfile` reads a header at whatever size it claims."""

Stream = BufferedReader | gzip.GzipFile | lzma.LZMAFile
Kind = Literal["file", "folder", "link", "device or pipe", "sparse file", "encrypted file"]


class ArchiveError(ValueError):
    """An archive that is damaged or unsafe to extract, or a folder that does not hold what was extracted."""


@dataclass(frozen=True)
class ArchiveMember:
    """A member of an archive: its stored name, kind and size in bytes, and a function that opens it."""

    name: str
    kind: Kind
    size: int
    read: Callable[[], IO[bytes]]


def read_members(archive: Path) -> Iterator[ArchiveMember]:
    """Yield the members of a .zip, .tar, .tar.gz or .tar.xz, recognised by its first bytes."""
    with archive.open("rb") as file:
        start = file.read(6)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_members(archive)
    if start[:2] == b"\x1f\x8b":
        return _tar_members(lambda: gzip.GzipFile(archive))
    if start == b"\xfd7zXZ\0":
        return _tar_members(lambda: lzma.LZMAFile(archive))
    return _tar_members(lambda: archive.open("rb"))


def _zip_members(archive: Path) -> Iterator[ArchiveMember]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind: Kind = "folder" if info.is_dir() else "file"
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "link" if mode == stat.S_IFLNK else "device or pipe"
            elif info.flag_bits & 1:
                kind = "encrypted file"
            yield ArchiveMember(info.orig_filename, kind, info.file_size, partial(opened.open, info))


def _tar_members(opener: Callable[[], Stream]) -> Iterator[ArchiveMember]:
    """Yield members in one pass; a tar has no index, and only its last block shows that it is complete."""
    with opener() as stream:
        limited = _LimitedStream(stream)
        with tarfile.open(fileobj=limited, mode="r:") as opened:  # type: ignore[call-overload]
            for info in opened:
                if info.size < 0:
                    raise ArchiveError(f"{info.name!r} has a size of {info.size} bytes: damaged")
                content: Callable[[], IO[bytes]] = partial(opened.extractfile, info)
                yield ArchiveMember(info.name, _kind(info), info.size, content)
        if limited.last != bytes(tarfile.BLOCKSIZE):
            raise ArchiveError("has no end-of-archive marker: damaged or incomplete; remove it and download it again")
        surplus = 0
        while more := len(stream.read(CHUNK)):  # verifies the checksum at the end of the compressed stream
            surplus += more
            if surplus > MAX_HEADER:
                raise ArchiveError("continues behind its end-of-archive marker: damaged, or two archives in one")


def _kind(info: tarfile.TarInfo) -> Kind:
    if info.issparse():
        return "sparse file"
    if info.issym() or info.islnk():
        return "link"
    if info.isdir():
        return "folder"
    return "file" if info.isreg() else "device or pipe"


class _LimitedStream:
    """A stream for `tarfile` that limits the size of reads to that of a header, and keeps the last one."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.seek, self.tell = stream, stream.seek, stream.tell
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes."""
        if not 0 <= size <= MAX_HEADER:
            raise ArchiveError(f"a header of {size:,} bytes; the limit is {MAX_HEADER:,}")
        self.last = self.stream.read(size)
        return self.last
