"""The workspace makes each artifact once.

A folder is complete or absent: the work happens in a scratch folder beside it, `stage.json` is written last, and the
folder is renamed. As with `make`, an artifact is up to date if it exists and was made from the present inputs; one that
is made again makes its dependents stale.
"""

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from fulora.engine import Engine, ProcessCache
from fulora.environment import commit, versions
from fulora.files import DiskFullError, locked, move_into_place, partial_folder, raise_on_disk_full, sync
from fulora.integrity import LIST, DamagedArtifactError, check, content_digest, note_command, remedy, write_list
from fulora.json_files import DamagedFileError
from fulora.stage import RECORD, Artifact, Call, MissingInputError, Source, Stage, read_record

P = ParamSpec("P")
A = TypeVar("A", bound=Artifact)
K = TypeVar("K")
State = Literal["ready", "partial", "missing", "stale", "damaged"]


@dataclass(frozen=True)
class Step:
    """A stage of a study and its state. `key` is the study's name for it, `label` the text to show."""

    call: Call[Any]
    key: object
    label: str
    artifact: Artifact
    state: State
    note: str = ""


class ReachedError(Exception):
    """The study reached the stage before which it should stop; `calls` are the stages that would have run."""

    def __init__(self, calls: Mapping[Any, Call[Any]]) -> None:
        super().__init__(f"stopped before {', '.join(map(str, calls))}")
        self.calls = calls


@dataclass
class Workspace:
    """Makes artifacts under one root, each once.

    An artifact that a study requests twice is one step. With `plan=True` nothing runs: every step is recorded with its
    state, so that `fulora status` predicts a run. With `until`, all stages before the one of that name run, and then
    `ReachedError` is raised. `begin` is called before a step is made, and `report` with its seconds after it. `command`
    makes the same artifacts again; messages about damage contain it.
    """

    root: Path
    engine: Engine
    plan: bool = False
    begin: Callable[[Step], None] = lambda step: None
    report: Callable[[Step, float], None] = lambda step, seconds: None
    until: str = ""
    command: str = ""
    steps: list[Step] = field(default_factory=list)

    def run(self, stage: Stage[P, A], *args: P.args, **kwargs: P.kwargs) -> A:
        """Return the artifact of one stage, made unless it is up to date, from the stage's arguments."""
        return self.each({stage.name: stage.call(*args, **kwargs)})[stage.name]

    def each(self, calls: Mapping[K, Call[A]]) -> dict[K, A]:
        """Return the artifacts of several calls, by key, made on the workspace's engine.

        Raises:
            DamagedArtifactError: if files of an artifact have changed since it was made.
        """
        if any(call.stage.name == self.until for call in calls.values()):
            raise ReachedError(calls)
        steps = {key: self._step(call, key) for key, call in calls.items()}
        recorded = {step.artifact.path for step in self.steps}
        new: dict[Path, Step] = {}
        for step in steps.values():
            if step.artifact.path not in recorded:
                new.setdefault(step.artifact.path, step)
        self.steps.extend(new.values())
        if not self.plan:
            _refuse_damaged(new.values())
            todo = [step for step in new.values() if step.state != "ready"]
            for step in todo:
                note_command(step.artifact.path, self.command)
            for step in new.values():
                if step.state == "ready":
                    self.report(step, 0.0)
            self._make_all(todo)
        return {
            key: calls[key].stage.returns(step.artifact.path, step.artifact.fingerprint) for key, step in steps.items()
        }

    def _make_all(self, steps: Sequence[Step]) -> None:
        if not self.engine.is_local:  # all of them begin at once
            for step in steps:
                self.begin(step)
            parts = [(step, name) for step in steps for name in _part_names(step)]
            list(self.engine.map_with_cache(make_part, parts))
        seconds = self.engine.map(make, steps)  # in this process each is made when its seconds are read
        for step in steps:
            if self.engine.is_local:
                self.begin(step)
            self.report(step, next(seconds))

    def read(self, path: Path, *, hint: str = "") -> Source:
        """Return an outside file or folder, identified by the digest of its content.

        Raises:
            MissingInputError: if it does not exist; the message ends with `hint` (what to place where).
        """
        if not path.exists():
            raise MissingInputError(f"{path}: not found. {hint}".rstrip())
        return Source(path, content_digest(path, self.root / ".digests.json")[:16])

    def _step(self, call: Call[A], key: object) -> Step:
        fingerprint = call.fingerprint()
        folder = self.root / f"{call.stage.name}-{fingerprint}"
        state, note = self._state(call, folder)
        label = call.stage.name if key == call.stage.name else f"{call.stage.name} ({key})"
        return Step(call, key, label, call.stage.returns(folder, fingerprint), state, note)

    def _state(self, call: Call[Any], folder: Path) -> tuple[State, str]:
        if not (folder / RECORD).is_file():
            return ("partial", "was interrupted, will continue") if partial_folder(folder).is_dir() else ("missing", "")
        if not (folder / LIST).is_file():
            return "stale", f"it has no {LIST}; an earlier version of fulora made it"
        try:
            record = read_record(folder)
            pending = {step.artifact.path for step in self.steps if step.state != "ready"} if self.plan else set()
            for name, item in call.inputs().items():
                if item.path in pending or record["inputs"].get(name) != item.made:
                    return "stale", f"its input '{name}' is newer"
            check(folder)
        except DamagedFileError as error:
            return "damaged", f"{error}. {remedy(folder)}"
        except DamagedArtifactError as error:
            return "damaged", str(error)
        changed = record["code"] != call.stage.source_digest()
        return "ready", "the stage's code has changed since; raise its version if results differ" if changed else ""

    def checked(self) -> None:
        """Run the checks of every planned stage that is not up to date.

        Raises:
            DamagedArtifactError: if artifacts have changed since they were made, one a line.
            ValueError: if checks fail, one error a line.
        """
        _refuse_damaged(self.steps)
        errors = []
        for step in self.steps:
            if step.state != "ready" and step.call.stage.check is not None:
                try:
                    step.call.stage.check(**step.call.arguments)
                except (ValueError, OSError) as error:
                    errors.append(str(error))
        if errors:
            raise ValueError("\n".join(dict.fromkeys(errors)))


def _refuse_damaged(steps: Iterable[Step]) -> None:
    damaged = [step.note for step in steps if step.state == "damaged"]
    if damaged:
        raise DamagedArtifactError("\n".join(damaged))


def artifact_name(folder: Path) -> str:
    """Return the name of an artifact's folder, also if `folder` is the scratch folder in which it is made."""
    name = folder.absolute().name
    return name[1:].removesuffix(".partial") if name.startswith(".") and name.endswith(".partial") else name


def make(step: Step) -> float:
    """Make one artifact and return the seconds it took. Several processes may make the same one at once.

    Raises:
        DiskFullError: if the disk is full. The scratch folder is kept if the stage resumes, and removed if not.
    """
    folder, work = step.artifact.path, partial_folder(step.artifact.path)
    try:
        with raise_on_disk_full(folder):
            return _make_locked(step, folder, work)
    except DiskFullError:
        if not step.call.stage.resumes:
            shutil.rmtree(work, ignore_errors=True)
        raise


def _make_locked(step: Step, folder: Path, work: Path) -> float:
    with locked(_lock_file(folder)):
        if _is_up_to_date(step):
            return 0.0
        _begin(step, work)
        started = time.time()
        step.call.stage.function(work, **step.call.arguments)
        _finish(step, work, time.time() - started)
        move_into_place(work, folder)
    return time.time() - started


def make_part(cache: ProcessCache, step_and_name: tuple[Step, str]) -> None:
    """Make one part of an artifact in its scratch folder; `make` finishes the artifact.

    Raises:
        DiskFullError: if the disk is full.
    """
    step, name = step_and_name
    folder, work = step.artifact.path, partial_folder(step.artifact.path)
    with raise_on_disk_full(folder):
        with locked(_lock_file(folder)):
            if _is_up_to_date(step):
                return
            _begin(step, work)
        if step.call.stage.parts is not None:
            step.call.stage.parts.make(work, name, cache, **step.call.arguments)


def _input_versions(step: Step) -> dict[str, str]:
    return {name: item.made for name, item in step.call.inputs().items()}


def _is_up_to_date(step: Step) -> bool:
    folder = step.artifact.path
    is_complete = (folder / RECORD).is_file() and (folder / LIST).is_file()
    return is_complete and read_record(folder)["inputs"] == _input_versions(step)


def _part_names(step: Step) -> Sequence[str]:
    parts = step.call.stage.parts
    return () if parts is None else parts.names(**step.call.arguments)


def _begin(step: Step, work: Path) -> None:
    """Make an empty scratch folder, or keep the one that was begun with the same inputs if the stage resumes."""
    inputs = json.dumps(_input_versions(step))
    begun_with = step.artifact.path.parent / ".locks" / step.artifact.path.name
    same = begun_with.is_file() and begun_with.read_text(encoding="utf-8") == inputs
    if work.exists() and not (step.call.stage.resumes and same):
        shutil.rmtree(work)
    if not same:
        begun_with.write_text(inputs, encoding="utf-8")
    work.mkdir(exist_ok=True)


def _finish(step: Step, work: Path, seconds: float) -> None:
    """Write the list of files and `stage.json` last, and force everything to the disk."""
    record = {
        "stage": step.call.stage.name,
        "label": step.label,
        "fingerprint": step.artifact.fingerprint,
        "artifact": type(step.artifact).__name__,
        "identity": step.call.identity(),
        "inputs": _input_versions(step),
        "input_folders": {name: item.path.name for name, item in step.call.inputs().items()},
        "input_fingerprints": {name: item.fingerprint for name, item in step.call.inputs().items()},
        "digest": write_list(work),
        "code": step.call.stage.source_digest(),
        "made": uuid.uuid4().hex,
        "seconds": round(seconds, 2),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions(),
        "commit": commit(),
    }
    (work / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    for path in work.rglob("*"):
        if path.is_file():
            sync(path)


def _lock_file(folder: Path) -> Path:
    return folder.parent / ".locks" / f"{folder.name}.lock"
