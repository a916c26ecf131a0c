"""SHA-256 digests of files, and a cache of them, so that outside data are not read each time."""

import hashlib
import json
import os
from collections.abc import Mapping
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


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    digests: dict[Path, str] = {}
    fresh: dict[str, CachedDigest] = {}
    for file in files:
        key, now = str(file.resolve()), file.stat()
        entry = cached.get(key)
        if entry is None or not entry.matches(now):
            entry = fresh[key] = CachedDigest(now.st_size, now.st_mtime_ns, now.st_ctime_ns, file_digest(file))
        digests[file] = entry.sha256
    if fresh and cache:
        write_cache(cache, {**cached, **fresh})
    return digests


def mismatches_in_cache(cache: Path) -> list[str]:
    """Return the paths of files whose content differs from the cached digest though size and times match."""
    paths = []
    for path, entry in read_cache(cache).items():
        file = Path(path)
        if file.is_file() and entry.matches(file.stat()) and file_digest(file) != entry.sha256:
            paths.append(path)
    return paths
