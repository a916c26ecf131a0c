"""The workspace makes each artifact once.

A folder is complete or absent: the work happens in a scratch folder beside it, `stage.json` is written last, and the
folder is renamed. As with `make`, an artifact is up to date when it exists and the very inputs it was made from still
do; one that is made again makes its dependents stale.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, ParamSpec, TextIO, TypeVar

from fulora.config import digest
from fulora.engine import Engine
from fulora.environment import commit, versions
from fulora.stage import RECORD, Artifact, Call, MissingInputError, Source, Stage, read_record

P = ParamSpec("P")
A = TypeVar("A", bound=Artifact)
K = TypeVar("K")
State = Literal["ready", "partial", "missing", "stale"]


@dataclass(frozen=True)
class Step:
    """A stage of a study as the workspace sees it."""

    call: Call[Any]
    label: str
    artifact: Artifact
    state: State
    note: str = ""


class ReachedError(Exception):
    """The study came to the stage that it was to stop before; `calls` are what would have been made."""

    def __init__(self, calls: Mapping[Any, Call[Any]]) -> None:
        super().__init__(f"stopped before {', '.join(map(str, calls))}")
        self.calls = calls


@dataclass
class Workspace:
    """Makes artifacts under one root, each once.

    An artifact that a study asks for twice is one step. With `plan=True` nothing runs: every step is recorded with its
    state, so that `fulora status` predicts a run. With `until`, what comes before the stage of that name is made, and
    then `ReachedError` raised.
    """

    root: Path
    engine: Engine
    plan: bool = False
    report: Callable[[Step, float], None] = lambda step, seconds: None
    until: str = ""
    steps: list[Step] = field(default_factory=list)

    def run(self, stage: Stage[P, A], *args: P.args, **kwargs: P.kwargs) -> A:
        """The artifact of one stage, made unless it is up to date. The signature is the stage's, less its folder."""
        return self.each({stage.name: stage.call(*args, **kwargs)})[stage.name]

    def each(self, calls: Mapping[K, Call[A]]) -> dict[K, A]:
        """A fan-out: the artifacts of several calls, by label, on the workspace's engine."""
        if any(call.stage.name == self.until for call in calls.values()):
            raise ReachedError(calls)
        steps = {key: self._step(call, _label(key, call)) for key, call in calls.items()}
        known = {step.artifact.path for step in self.steps}
        new: dict[Path, Step] = {}
        for step in steps.values():
            if step.artifact.path not in known:
                new.setdefault(step.artifact.path, step)
        self.steps.extend(new.values())
        if not self.plan:
            todo = [step for step in new.values() if step.state != "ready"]
            for step in new.values():
                if step.state == "ready":
                    self.report(step, 0.0)
            if not self.engine.here:
                list(self.engine.map(make_part, [(step, name) for step in todo for name in _part_names(step)]))
            for step, seconds in zip(todo, self.engine.map(make, todo), strict=True):
                self.report(step, seconds)
        return {
            key: calls[key].stage.returns(step.artifact.path, step.artifact.fingerprint) for key, step in steps.items()
        }

    def read(self, path: Path, *, hint: str = "") -> Source:
        """An outside file or folder, known by its content's digest.

        Raises:
            MissingInputError: it is not there; the message says `hint` (what to place where).
        """
        if not path.exists():
            raise MissingInputError(f"{path} is not there. {hint}".rstrip())
        return Source(path, content_digest(path, self.root / ".digests.json")[:16])

    def _step(self, call: Call[A], label: str) -> Step:
        fingerprint = call.fingerprint()
        folder = self.root / f"{call.stage.name}-{fingerprint}"
        state, note = self._state(call, folder)
        return Step(call, label, call.stage.returns(folder, fingerprint), state, note)

    def _state(self, call: Call[Any], folder: Path) -> tuple[State, str]:
        if not (folder / RECORD).is_file():
            return ("partial", "was interrupted, will continue") if scratch(folder).is_dir() else ("missing", "")
        record = read_record(folder)
        pending = {step.artifact.path for step in self.steps if step.state != "ready"} if self.plan else set()
        for name, item in call.inputs().items():
            if item.path in pending or record["inputs"].get(name) != item.made:
                return "stale", f"its input '{name}' is newer"
        changed = record["code"] != call.stage.source_digest()
        return "ready", "the stage's code has changed since; raise its version if results differ" if changed else ""

    def checked(self) -> None:
        """Run the checks of every planned stage that is not up to date.

        Raises:
            ValueError: all that they found, one a line.
        """
        errors = []
        for step in self.steps:
            if step.state != "ready" and step.call.stage.check is not None:
                try:
                    step.call.stage.check(**step.call.arguments)
                except (ValueError, OSError) as error:
                    errors.append(str(error))
        if errors:
            raise ValueError("\n".join(dict.fromkeys(errors)))


def _label(key: object, call: Call[Any]) -> str:
    return call.stage.name if key == call.stage.name else f"{call.stage.name} ({key})"


def scratch(folder: Path) -> Path:
    """Where the work on `folder` happens until it is complete."""
    return folder.with_name(f".{folder.name}.partial")


def make(step: Step) -> float:
    """Make one artifact; returns the seconds it took. Safe against a second process that makes the same one."""
    folder, work = step.artifact.path, scratch(step.artifact.path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made_of = {name: item.made for name, item in step.call.inputs().items()}
    with _locked(folder) as begun_with:
        if (folder / RECORD).is_file() and read_record(folder)["inputs"] == made_of:
            return 0.0
        _begin(step, work, made_of, begun_with)
        started = time.time()
        step.call.stage.function(work, **step.call.arguments)
        _finish(step, work, time.time() - started)
        if folder.exists():
            old = folder.with_name(f".{folder.name}.old")
            shutil.rmtree(old, ignore_errors=True)  # left by a process that was killed between the two renames
            os.replace(folder, old)
            os.replace(work, folder)
            shutil.rmtree(old)
        else:
            os.replace(work, folder)
    return time.time() - started


def make_part(step_and_name: tuple[Step, str]) -> None:
    """Make one part of an artifact in its scratch folder; `make` finishes it."""
    step, name = step_and_name
    folder, work = step.artifact.path, scratch(step.artifact.path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made_of = {name: item.made for name, item in step.call.inputs().items()}
    with _locked(folder) as begun_with:
        if (folder / RECORD).is_file() and read_record(folder)["inputs"] == made_of:
            return
        _begin(step, work, made_of, begun_with)
    if step.call.stage.parts is not None:
        step.call.stage.parts.make(work, name, **step.call.arguments)


def _part_names(step: Step) -> Sequence[str]:
    parts = step.call.stage.parts
    return () if parts is None else parts.names(**step.call.arguments)


def _begin(step: Step, work: Path, made_of: Mapping[str, str], begun_with: TextIO) -> None:
    """An empty scratch folder, or the one that was begun with the same inputs if the stage resumes."""
    inputs = json.dumps(made_of)
    resumes = step.call.stage.resumes and begun_with.read() == inputs
    if work.exists() and not resumes:
        shutil.rmtree(work)
    begun_with.seek(0)
    begun_with.truncate()
    begun_with.write(inputs)
    begun_with.flush()
    work.mkdir(exist_ok=True)


def _finish(step: Step, work: Path, seconds: float) -> None:
    """Write `stage.json` last and force everything to the disk."""
    files = {str(path.relative_to(work)): path for path in sorted(work.rglob("*")) if path.is_file()}
    hashes = {name: _file_digest(path) for name, path in files.items() if name != RECORD}
    record = {
        "stage": step.call.stage.name,
        "label": step.label,
        "fingerprint": step.artifact.fingerprint,
        "artifact": type(step.artifact).__name__,
        "identity": step.call.identity(),
        "inputs": {name: item.made for name, item in step.call.inputs().items()},
        "input_folders": {name: item.path.name for name, item in step.call.inputs().items()},
        "input_fingerprints": {name: item.fingerprint for name, item in step.call.inputs().items()},
        "digest": digest(hashes),
        "code": step.call.stage.source_digest(),
        "made": uuid.uuid4().hex,
        "seconds": round(seconds, 2),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions(),
        "commit": commit(),
    }
    with (work / RECORD).open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    for path in files.values():
        with path.open("rb") as opened:
            os.fsync(opened.fileno())


@contextmanager
def _locked(folder: Path) -> Iterator[TextIO]:
    """Hold the artifact's lock; the lock file remembers which inputs its scratch folder was begun with."""
    locks = folder.parent / ".locks"
    locks.mkdir(exist_ok=True)
    with (locks / folder.name).open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(path: Path, cache: Path | None) -> str:
    """Digest of a file, or of every file under a folder by name; hashes are kept in `cache` by size and time."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    known: dict[str, str] = json.loads(cache.read_text(encoding="utf-8")) if cache and cache.is_file() else {}
    keys = {file: f"{file.resolve()}|{file.stat().st_size}|{file.stat().st_mtime_ns}" for file in files}
    fresh = {key: _file_digest(file) for file, key in keys.items() if key not in known}
    known |= fresh
    if fresh and cache:
        cache.parent.mkdir(parents=True, exist_ok=True)
        temporary = cache.with_name(f"{cache.name}.{os.getpid()}")
        temporary.write_text(json.dumps(known), encoding="utf-8")
        os.replace(temporary, cache)
    return digest({str(file.relative_to(path)): known[key] for file, key in keys.items()})
