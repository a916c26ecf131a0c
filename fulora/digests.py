"""SHA-256 digests of files, and a cache of them, so that outside data are not read each time."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from fulora import progress
from fulora.config import digest
from fulora.files import write_atomic
from fulora.json_files import DamagedFileError, read_json


class CachedDigest(NamedTuple):
    """A file's digest, with the size and times that the file had when it was computed."""

    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str

    def matches(self, now: os.stat_result) -> bool:
        """Return whether size and times are unchanged; a program can set `mtime` back, but not `ctime`."""
        return (self.size, self.mtime_ns, self.ctime_ns) == (now.st_size, now.st_mtime_ns, now.st_ctime_ns)


class _Cache(BaseModel):
    check: str
    files: dict[str, CachedDigest]


MB = 10**6
LARGE_MB = 250
"""From how many MB on the reading of files is shown: less takes a second."""


@contextmanager
def reading(description: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show how far the reading of large files is, in MB. Yields a function to call with how many more bytes are read.

    Args:
        size: bytes of all files.
    """
    if size < LARGE_MB * MB:
        yield lambda count: None
        return
    done = 0
    with progress.meter(description, unit="MB", total=size // MB) as advance:

        def add(count: int) -> None:
            nonlocal done
            advance((done + count) // MB - done // MB)
            done += count

        yield add


def file_digest(path: Path, advance: Callable[[int], None] = lambda count: None) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits.

    Args:
        advance: called with how many more bytes were read.
    """
    content = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(MB):
            content.update(block)
            advance(len(block))
    return content.hexdigest()


def read_cache(cache: Path) -> dict[str, CachedDigest]:
    """Read the digests of a cache, by resolved path; if it is damaged, print a note and return none."""
    if not cache.is_file():
        return {}
    try:
        content = read_json(cache, _Cache)
        if content.check != _check(content.files):
            raise DamagedFileError(f"{cache}: was changed since fulora wrote it")
    except DamagedFileError as error:
        progress.note(f"{error}; it is not used, and outside data are read once more")
        return {}
    return content.files


def write_cache(cache: Path, cached: Mapping[str, CachedDigest]) -> None:
    """Write a cache atomically."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(cache, json.dumps({"check": _check(cached), "files": cached}), by_several=True)


def _check(cached: Mapping[str, CachedDigest]) -> str:
    return digest({path: list(entry) for path, entry in cached.items()})


def cached_digests(files: list[Path], cache: Path | None) -> dict[Path, str]:
    """Return the digest of each file, computed again if its size or times differ from those in `cache`."""
    cached = read_cache(cache) if cache else {}
    states = {file: file.stat() for file in files}
    entries = {file: entry for file in files if (entry := cached.get(str(file.resolve())))}
    stale = [file for file in files if file not in entries or not entries[file].matches(states[file])]
    with reading("content hashed", sum(states[file].st_size for file in stale)) as advance:
        for file in stale:
            now = states[file]
            sha256 = file_digest(file, advance)
            entries[file] = CachedDigest(now.st_size, now.st_mtime_ns, now.st_ctime_ns, sha256)
    if stale and cache:
        write_cache(cache, {**cached, **{str(file.resolve()): entries[file] for file in stale}})
    return {file: entries[file].sha256 for file in files}


def mismatches_in_cache(cache: Path) -> list[str]:
    """Return the paths of files whose content differs from the cached digest though size and times match."""
    paths = []
    for path, entry in read_cache(cache).items():
        file = Path(path)
        if file.is_file() and entry.matches(file.stat()) and file_digest(file) != entry.sha256:
            paths.append(path)
    return paths
