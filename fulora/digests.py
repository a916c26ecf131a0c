"""SHA-256 digests of files, and the file that keeps those of outside data so that they are not read each time."""

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


class Known(NamedTuple):
    """A digest, and what the file looked like when it was taken."""

    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str

    def fits(self, now: os.stat_result) -> bool:
        """Whether the file still looks the same; a program can set `mtime` back, but not `ctime`."""
        return (self.size, self.mtime_ns, self.ctime_ns) == (now.st_size, now.st_mtime_ns, now.st_ctime_ns)


class _Cache(BaseModel):
    """What the file holds; `check` is the digest of the rest, so that damage shows."""

    check: str
    files: dict[str, Known]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_known(cache: Path) -> dict[str, Known]:
    """The digests that a cache keeps, by resolved path; none, and a note, where it is damaged."""
    if not cache.is_file():
        return {}
    try:
        found = read_json(cache, _Cache)
        if found.check != _check(found.files):
            raise DamagedFileError(f"{cache}: was changed since fulora wrote it")
    except DamagedFileError as error:
        progress.note(f"{error}; it is not used, and outside data are read once more")
        return {}
    return found.files


def write_known(cache: Path, known: Mapping[str, Known]) -> None:
    """Keep digests; the file is complete or as it was."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(cache, json.dumps({"check": _check(known), "files": known}), by_several=True)


def _check(known: Mapping[str, Known]) -> str:
    return digest({path: list(entry) for path, entry in known.items()})


def cached_digests(files: list[Path], cache: Path | None) -> dict[Path, str]:
    """The digest of each file, taken anew where size or times are not those that `cache` keeps."""
    known = read_known(cache) if cache else {}
    found: dict[Path, str] = {}
    fresh: dict[str, Known] = {}
    for file in files:
        key, now = str(file.resolve()), file.stat()
        entry = known.get(key)
        if entry is None or not entry.fits(now):
            entry = fresh[key] = Known(now.st_size, now.st_mtime_ns, now.st_ctime_ns, file_digest(file))
        found[file] = entry.sha256
    if fresh and cache:
        write_known(cache, {**known, **fresh})
    return found


def wrong_in_cache(cache: Path) -> list[str]:
    """Files whose content is not what a cache says though size and times are: one line each."""
    lines = []
    for path, entry in read_known(cache).items():
        file = Path(path)
        if file.is_file() and entry.fits(file.stat()) and file_digest(file) != entry.sha256:
            lines.append(path)
    return lines
