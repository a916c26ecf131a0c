"""Integrity of artifacts: a list of a folder's files with size, time and digest, and checks against it.

`fulora_files.json` lies beside `stage.json`, whose `digest` covers it; generated sets and trained LoRAs outside of
studies have one too. When a folder is read, sizes and times are compared, which takes some 10 microseconds a file;
files in which they differ are hashed (a copy has other times), and the new times are kept. Only `fulora verify` finds a
file that was changed with the same size and time.
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
LIST_FILES = {LIST, f".new.{LIST}"}
"""The list, and the unfinished one that a killed process leaves, which the next process replaces."""

COMMANDS = ".commands"
"""Folder of a workspace with the command that made each artifact; it is not copied with the artifact."""

SHEETS = "audit"
"""Folder of review sheets, to which people add and which they remove before they share a set."""

OPTIONAL_FILES = ("metadata.jsonl", "provenance.json", "mix.json", "pseudo_labels.json", "gate.json")
"""Names of optional files: readers would use such a file if it were added later."""

RECOGNISED_BY = (("generation.json", "train/metadata.jsonl"), ("lora.safetensors", "provenance.json"))
"""Files by which generated sets and trained LoRAs outside of studies are recognised; they should have a list."""

SHOWN = 5
"""How many files a message names."""

DEEP = 4
"""How many folders above a file may be its artifact: `SET/train/images/SHARD/FILE` is the deepest."""


class DamagedArtifactError(ValueError):
    """Files of an artifact have changed since it was made. The message names them and the command to make it again."""


class Entry(NamedTuple):
    """A file in the list."""

    size: int
    mtime_ns: int
    sha256: str


class _List(BaseModel):
    digest: str
    files: dict[str, Entry]


@dataclass(frozen=True)
class Difference:
    """A file that has changed since the artifact was made; `name` is its path in the artifact's folder."""

    name: str
    what: Literal["changed", "missing", "added"]

    def __str__(self) -> str:
        return f"{self.name} ({self.what})"


def write_list(folder: Path) -> str:
    """Write the list of a folder's files; files that an older list has with the same size and time are not hashed.

    Returns:
        The digest of all names and contents.
    """
    present = _files(folder)
    known = read_json(folder / LIST, _List).files if (folder / LIST).is_file() else {}
    new = [name for name, now in present.items() if name not in known or not _matches(known[name], now)]
    hashes = dict(zip(new, threaded(lambda name: file_digest(folder / name), new), strict=True))
    files = {
        name: Entry(now.st_size, now.st_mtime_ns, hashes[name] if name in hashes else known[name].sha256)
        for name, now in present.items()
    }
    write_atomic(folder / LIST, _text(files))
    return _digest(files)


def _digest(files: dict[str, Entry]) -> str:
    return digest({name: entry.sha256 for name, entry in files.items()})


def _text(files: dict[str, Entry]) -> str:
    return json.dumps({"digest": _digest(files), "files": files})


def read_list(folder: Path) -> dict[str, Entry]:
    """Read the list of the files that a folder was made with.

    Raises:
        DamagedArtifactError: if the list, or the record beside it, is missing, damaged or of another artifact.
    """
    if fingerprint_in_name(folder) and not (folder / RECORD).is_file():
        raise DamagedArtifactError(f"{folder}: is incomplete: it has no {RECORD}. {remedy(folder)}")
    if not (folder / LIST).is_file():
        raise DamagedArtifactError(
            f"{folder}: has no {LIST}: an earlier version of fulora made it, or it is incomplete. {remedy(folder)}"
        )
    try:
        content = read_json(folder / LIST, _List)
        recorded = read_record(folder)["digest"] if (folder / RECORD).is_file() else content.digest
    except DamagedFileError as error:
        raise DamagedArtifactError(f"{error}. {remedy(folder)}") from error
    if _digest(content.files) != recorded:
        raise DamagedArtifactError(f"{folder / LIST}: was changed since it was made. {remedy(folder)}")
    return content.files


def differences(folder: Path, *, thorough: bool = False) -> list[Difference]:
    """Return how a folder differs from its list: missing and changed files, and added ones that would be read.

    Other files that were added do not change what a command reads: pictures and weights are read by lists and names.
    Hidden files are not listed; review sheets may be removed, but not changed.

    Args:
        thorough: hash every file, not only those whose size or time differs, and name every file that was added.

    Raises:
        DamagedArtifactError: if the list itself is missing or damaged.
    """
    listed, present = read_list(folder), _files(folder)
    wrong = [Difference(name, "missing") for name in listed if name not in present and not _is_sheet(name)]
    new = [name for name in present if name not in listed and not _is_sheet(name)]
    wrong += [Difference(name, "added") for name in new if thorough or name.rpartition("/")[2] in OPTIONAL_FILES]
    suspects = [n for n, entry in listed.items() if n in present and (thorough or not _matches(entry, present[n]))]
    same_size = [name for name in suspects if present[name].st_size == listed[name].size]
    hashes = dict(zip(same_size, threaded(lambda name: file_digest(folder / name), same_size), strict=True))
    changed = [name for name in suspects if hashes.get(name) != listed[name].sha256]
    wrong += [Difference(name, "changed") for name in changed]
    copied = {name for name in suspects if name not in changed and not _matches(listed[name], present[name])}
    if copied:
        times = {n: e._replace(mtime_ns=present[n].st_mtime_ns) if n in copied else e for n, e in listed.items()}
        with suppress(OSError):  # of a read-only folder, whose files are hashed each time
            write_atomic(folder / LIST, _text(times), by_several=True)
    return sorted(wrong, key=lambda one: one.name)


def check(path: Path) -> Path:
    """Check the artifact that `path` is, or lies in, against its list; other folders and files are not checked.

    For a generated set or a trained LoRA without a list, a note is printed.

    Returns:
        `path`.

    Raises:
        DamagedArtifactError: if files have changed since it was made.
    """
    artifact = artifact_folder(path)
    if artifact is not None and (wrong := differences(artifact)):
        raise DamagedArtifactError(_describe_damage(artifact, wrong))
    if artifact is None:
        for folder in (path, *path.parents[:DEEP]):
            if lacks_list(folder):
                _note_unlisted(folder)
    return path


def lacks_list(folder: Path) -> bool:
    """Return whether a folder is a generated set or a trained LoRA without a list: removed, or of an old version."""
    return not (folder / LIST).is_file() and any(
        all((folder / name).is_file() for name in names) for names in RECOGNISED_BY
    )


@cache
def _note_unlisted(folder: Path) -> None:
    progress.note(
        f"{folder}: has no {LIST}, so it cannot be checked for changes; put the original back, or run the command that "
        "made it once more, which writes a list of the present files"
    )


def artifact_folder(path: Path) -> Path | None:
    """Return the folder of the artifact that `path` is, or lies in, or None."""
    real = path.absolute()
    if (real / LIST).is_file() or _has_record(real):
        return path
    return next((folder for folder in real.parents[:DEEP] if (folder / LIST).is_file()), None)


def _has_record(folder: Path) -> bool:
    """Whether a folder without a list was made by an earlier version; other software has a `stage.json` as well."""
    with suppress(DamagedFileError, MissingInputError):
        return bool(read_record(folder))
    return False


def _describe_damage(folder: Path, wrong: list[Difference]) -> str:
    named = ", ".join(map(str, wrong[:SHOWN])) + (f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
    count = "1 file is not as it was" if len(wrong) == 1 else f"{len(wrong)} files are not as they were"
    return f"{folder}: {count} made: {named}. {remedy(folder)}"


def remedy(folder: Path) -> str:
    """Return the advice how to restore a folder, with the command that makes it again."""
    remove, command = f"rm -r {shlex.quote(str(folder))}", _noted_command(folder.absolute())
    if command:
        return f"Put back the original, or make it again: {remove} && {command}"
    return f"Put back the original, or remove it ({remove}) and run the command that made it again"


def note_command(folder: Path, command: str) -> None:
    """Record which command makes an artifact, for `remedy`."""
    if command:
        note = folder.absolute().parent / COMMANDS / folder.name
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{folder.absolute()}\n{command}\n", encoding="utf-8")


def _noted_command(folder: Path) -> str:
    """The command that made a folder; "" if none was recorded, or the workspace was copied or moved since."""
    note = folder.parent / COMMANDS / folder.name
    lines = note.read_text(encoding="utf-8", errors="replace").splitlines() if note.is_file() else []
    return lines[1] if len(lines) == 2 and lines[0] == str(folder) else ""


def content_digest(path: Path, cache: Path | None) -> str:
    """Return the digest of a file, or of the names and contents of all files under a folder.

    Args:
        cache: a file in which digests are kept by size and times.

    Raises:
        DamagedArtifactError: if it is, or lies in, an artifact whose files have changed since it was made.
    """
    check(path)
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != LIST) if path.is_dir() else [path]
    return digest({str(file.relative_to(path)): sha256 for file, sha256 in cached_digests(files, cache).items()})


def _files(folder: Path) -> dict[str, os.stat_result]:
    """All files under a folder by their paths in it, sorted; without hidden ones, the record and the list."""
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


def _matches(entry: Entry, now: os.stat_result) -> bool:
    return (entry.size, entry.mtime_ns) == (now.st_size, now.st_mtime_ns)


def _is_sheet(name: str) -> bool:
    return name.startswith(f"{SHEETS}/")
