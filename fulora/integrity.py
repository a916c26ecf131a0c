"""What an artifact's folder holds: every file with its size, time and digest, and whether that is still true.

`fulora_files.json` stands beside `stage.json`, whose `digest` covers it; a generated set and a trained LoRA that no
study made have one too. When a folder is read, sizes and times are compared, which takes some 10 microseconds a file;
content is hashed where they differ (a copy has other times), and the new times are kept. A file that was changed with
its size and time kept is found by `fulora verify` alone.
"""

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

from fulora import progress
from fulora.config import digest
from fulora.digests import cached_digests, file_digest
from fulora.engine import threaded
from fulora.files import write_atomic
from fulora.json_files import DamagedFileError, read_json
from fulora.stage import RECORD, MissingInputError, fingerprint_in_name, read_record

LIST = "fulora_files.json"
OF_THE_LIST = {LIST, f".new.{LIST}"}
"""The list, and what a process that was killed while it wrote it leaves for the next to replace."""

COMMANDS = ".commands"
"""Folder of a workspace that says, for each artifact, which command made it; it never travels with the artifact."""

FOR_PEOPLE = "audit"
"""Folder of sheets that people look at, add to and remove before they pass a set on."""

READ_IF_THERE = ("metadata.jsonl", "provenance.json", "mix.json", "pseudo_labels.json", "gate.json")
"""Names that readers look for and do without: such a file, added later, would be believed."""

ALONE = (("generation.json", "train/metadata.jsonl"), ("lora.safetensors", "provenance.json"))
"""Files that tell a generated set and a trained LoRA which no study made, and which a list belongs to."""

SHOWN = 5
DEEP = 4
"""How many folders above a file its artifact is looked for: `SET/train/images/SHARD/FILE` is the deepest."""


class DamagedArtifactError(ValueError):
    """A folder that is not as it was made. The message names files and the command that makes it again."""


class Entry(NamedTuple):
    """A file of the list."""

    size: int
    mtime_ns: int
    sha256: str


class _List(BaseModel):
    digest: str
    files: dict[str, Entry]


@dataclass(frozen=True)
class Difference:
    """A file that is not as it was made; `name` is its path in the artifact's folder."""

    name: str
    what: Literal["changed", "missing", "added"]

    def __str__(self) -> str:
        return f"{self.name} ({self.what})"


def write_list(folder: Path) -> str:
    """List all files of a folder; those that a list of it has already, by size and time, are not hashed again.

    Returns:
        The digest of all names and contents.
    """
    found = _files(folder)
    known = read_json(folder / LIST, _List).files if (folder / LIST).is_file() else {}
    new = [name for name, now in found.items() if name not in known or not _looks_as(known[name], now)]
    hashes = dict(zip(new, threaded(lambda name: file_digest(folder / name), new), strict=True))
    files = {
        name: Entry(now.st_size, now.st_mtime_ns, hashes[name] if name in hashes else known[name].sha256)
        for name, now in found.items()
    }
    write_atomic(folder / LIST, _text(files))
    return _digest(files)


def _digest(files: dict[str, Entry]) -> str:
    return digest({name: entry.sha256 for name, entry in files.items()})


def _text(files: dict[str, Entry]) -> str:
    return json.dumps({"digest": _digest(files), "files": files})


def read_list(folder: Path) -> dict[str, Entry]:
    """The files that a folder was made with.

    Raises:
        DamagedArtifactError: the list, or the record beside it, is missing, damaged or of another artifact.
    """
    if fingerprint_in_name(folder) and not (folder / RECORD).is_file():
        raise DamagedArtifactError(f"{folder}: is incomplete: it has no {RECORD}. {remedy(folder)}")
    if not (folder / LIST).is_file():
        raise DamagedArtifactError(
            f"{folder}: has no {LIST}: an earlier version of fulora made it, or it is incomplete. {remedy(folder)}"
        )
    try:
        found = read_json(folder / LIST, _List)
        said = read_record(folder)["digest"] if (folder / RECORD).is_file() else found.digest
    except DamagedFileError as error:
        raise DamagedArtifactError(f"{error}. {remedy(folder)}") from error
    if _digest(found.files) != said:
        raise DamagedArtifactError(f"{folder / LIST}: was changed since it was made. {remedy(folder)}")
    return found.files


def differences(folder: Path, *, thorough: bool = False) -> list[Difference]:
    """What is not as it was made: listed files that are missing or changed, and added ones that would be believed.

    Other files that were added do not change what a command reads: pictures and weights are read by lists and names.
    Hidden files are not listed; the sheets for people may be removed, not changed.

    Args:
        thorough: hash every file, not only those whose size or time is another, and name every file that was added.

    Raises:
        DamagedArtifactError: the list itself is missing or damaged.
    """
    listed, found = read_list(folder), _files(folder)
    wrong = [Difference(name, "missing") for name in listed if name not in found and not _for_people(name)]
    new = [name for name in found if name not in listed and not _for_people(name)]
    wrong += [Difference(name, "added") for name in new if thorough or _matters(name)]
    asked = [n for n, entry in listed.items() if n in found and (thorough or not _looks_as(entry, found[n]))]
    same_size = [name for name in asked if found[name].st_size == listed[name].size]
    hashes = dict(zip(same_size, threaded(lambda name: file_digest(folder / name), same_size), strict=True))
    changed = [name for name in asked if hashes.get(name) != listed[name].sha256]
    wrong += [Difference(name, "changed") for name in changed]
    moved = {name for name in asked if name not in changed and not _looks_as(listed[name], found[name])}
    if moved:
        times = {n: e._replace(mtime_ns=found[n].st_mtime_ns) if n in moved else e for n, e in listed.items()}
        with suppress(OSError):  # of a read-only folder, whose files are hashed each time
            write_atomic(folder / LIST, _text(times), by_several=True)
    return sorted(wrong, key=lambda one: one.name)


def check(path: Path) -> Path:
    """Hold the artifact that `path` is, or lies in, against its list; other folders and files are not known.

    A note tells of a generated set or a trained LoRA without a list.

    Returns:
        `path`.

    Raises:
        DamagedArtifactError: it is not as it was made.
    """
    home = home_of(path)
    if home is not None and (wrong := differences(home)):
        raise DamagedArtifactError(_told(home, wrong))
    if home is None:
        for folder in (path, *path.parents[:DEEP]):
            if lacks_list(folder):
                _note_unlisted(folder)
    return path


def lacks_list(folder: Path) -> bool:
    """Whether it is a generated set or a trained LoRA whose list is gone, or that an earlier version made."""
    return not (folder / LIST).is_file() and any(all((folder / name).is_file() for name in names) for names in ALONE)


@cache
def _note_unlisted(folder: Path) -> None:
    """Say once what cannot be checked."""
    progress.note(
        f"{folder}: has no {LIST}, so nothing tells whether it is as it was made; put the original back, or run the "
        "command that made it once more, which writes a list of what is there now"
    )


def home_of(path: Path) -> Path | None:
    """The folder of the artifact that `path` is, or lies in; None where there is none."""
    real = path.absolute()
    if (real / LIST).is_file() or _has_record(real):
        return path
    return next((folder for folder in real.parents[:DEEP] if (folder / LIST).is_file()), None)


def _has_record(folder: Path) -> bool:
    """Whether a folder without a list was made by an earlier version; other software has a `stage.json` as well."""
    with suppress(DamagedFileError, MissingInputError):
        return bool(read_record(folder))
    return False


def _told(folder: Path, wrong: list[Difference]) -> str:
    """The message about files that are not as they were made, and how to make them again."""
    named = ", ".join(map(str, wrong[:SHOWN])) + (f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
    said = "1 file is not as it was" if len(wrong) == 1 else f"{len(wrong)} files are not as they were"
    return f"{folder}: {said} made: {named}. {remedy(folder)}"


def remedy(folder: Path) -> str:
    """The command that makes a folder again."""
    remove, command = f"rm -r {shlex.quote(str(folder))}", _noted(folder.absolute())
    if command:
        return f"Put back the original, or make it again: {remove} && {command}"
    return f"Put back the original, or remove it ({remove}) and run the command that made it again"


def note_command(folder: Path, command: str) -> None:
    """Remember which command makes an artifact, for `remedy`."""
    if command:
        note = folder.absolute().parent / COMMANDS / folder.name
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{folder.absolute()}\n{command}\n", encoding="utf-8")


def _noted(folder: Path) -> str:
    """The command that made a folder; "" where none was noted, or the workspace was copied or moved since."""
    note = folder.parent / COMMANDS / folder.name
    lines = note.read_text(encoding="utf-8", errors="replace").splitlines() if note.is_file() else []
    return lines[1] if len(lines) == 2 and lines[0] == str(folder) else ""


def content_digest(path: Path, cache: Path | None) -> str:
    """Digest of a file, or of every file under a folder by name; digests are kept in `cache` by size and times.

    Raises:
        DamagedArtifactError: it is, or lies in, an artifact that is not as it was made.
    """
    check(path)
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != LIST) if path.is_dir() else [path]
    return digest({str(file.relative_to(path)): found for file, found in cached_digests(files, cache).items()})


def _files(folder: Path) -> dict[str, os.stat_result]:
    """Every file under a folder by its path there, in order, less hidden ones, the record and the list."""
    return {name: now for name, now in sorted(_walk(str(folder), "")) if name not in (RECORD, LIST)}


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield f"{prefix}{entry.name}", entry.stat()


def _looks_as(entry: Entry, now: os.stat_result) -> bool:
    return (entry.size, entry.mtime_ns) == (now.st_size, now.st_mtime_ns)


def _for_people(name: str) -> bool:
    return name.startswith(f"{FOR_PEOPLE}/")


def _matters(name: str) -> bool:
    """A file that was added would be read: a `provenance.json`, a `metadata.jsonl` of another split."""
    return name.rpartition("/")[2] in READ_IF_THERE
