"""Artifacts and stages: typed folders, and the typed functions that fill them.

A stage's folder is named by its identity: its name and version, its whole resolved config, and the identities of its
inputs. `fulora.workspace` decides what has to be made and makes it.
"""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, get_type_hints

from typing_extensions import TypedDict

from fulora.config import Json, Runtime, digest, identity
from fulora.json_files import DamagedFileError, read_json

RECORD = "stage.json"

_NAME = re.compile(r"\w+-([0-9a-f]{16})")


class MissingInputError(FileNotFoundError):
    """A file or folder that a study needs from outside does not exist."""


class PreemptedError(RuntimeError):
    """A signal (SIGTERM or SIGHUP) stopped a stage, which wrote a checkpoint; the same command continues from it."""


@dataclass(frozen=True)
class Artifact:
    """A typed folder (or outside file): its path, and the fingerprint of the call that made it."""

    path: Path
    fingerprint: str

    @property
    def made(self) -> str:
        """The version of the artifact: a new one each time it is made; empty while it is not complete."""
        record = self.path / RECORD
        return str(read_record(self.path)["made"]) if record.is_file() else ""


@dataclass(frozen=True)
class Source(Artifact):
    """Data or weights from outside, identified by the digest of their content."""

    @property
    def made(self) -> str:
        """The digest of the content."""
        return self.fingerprint


P = ParamSpec("P")
A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class Parts:
    """Independent parts of a stage, which many workers may make in any order before its function runs.

    Attributes:
        names: returns the names of all parts, from the stage's arguments.
        make: makes one part, from the stage's folder, the part's name, the cache of the process, and the stage's
            arguments.
    """

    names: Callable[..., Sequence[str]]
    make: Callable[..., None]


@dataclass(frozen=True)
class Stage(Generic[P, A]):
    """A function `(out, config, inputs...) -> artifact`, its name and its version."""

    function: Callable[Concatenate[Path, P], A]
    version: int
    resumes: bool
    check: Callable[..., None] | None
    parts: Parts | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the stage by its name: in its module, the name of the function is that of the stage."""
        return _stage_of, (self.function.__module__, self.function.__qualname__)

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.__name__

    @property
    def returns(self) -> type[A]:
        """The type of artifact that the stage returns."""
        kind: type[A] = get_type_hints(self.function)["return"]
        return kind

    def runtime_arguments(self) -> set[str]:
        """Return the names of the arguments marked `fulora.config.Runtime`, which do not change the artifact."""
        hints = get_type_hints(self.function, include_extras=True)
        return {
            name for name, hint in hints.items() if any(mark is Runtime for mark in getattr(hint, "__metadata__", ()))
        }

    def call(self, *args: P.args, **kwargs: P.kwargs) -> "Call[A]":
        """Return this stage with its config and inputs, for a `Workspace` to run."""
        bound = inspect.signature(self.function).bind(Path(), *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        return Call(self, arguments)

    def source_digest(self) -> str:
        """Return the digest of the stage's module, with which a workspace notices that the code has changed."""
        return hashlib.sha256(inspect.getsource(inspect.getmodule(self.function) or self.function).encode()).hexdigest()


def _stage_of(module: str, name: str) -> "Stage[..., Any]":
    result: Stage[..., Any] = getattr(import_module(module), name)
    return result


def stage(
    *, version: int, resumes: bool = False, check: Callable[..., None] | None = None, parts: Parts | None = None
) -> Callable[[Callable[Concatenate[Path, P], A]], Stage[P, A]]:
    """Decorate a function as a stage.

    Args:
        version: to be raised when a change of the code changes results.
        resumes: the function continues from the files in its folder; otherwise the folder of a killed run is emptied.
        parts: made first by an engine with many workers; the function, which resumes, then finds them in its folder.
        check: called with the stage's arguments before any stage of the study runs; raises if they are invalid.
    """
    return lambda function: Stage(function, version, resumes, check, parts)


@dataclass(frozen=True)
class Call(Generic[A]):
    """A stage with its arguments: a config, plain values, and artifacts (alone, or in a list, mapping or dataclass)."""

    stage: Stage[..., A]
    arguments: Mapping[str, Any]

    def inputs(self) -> dict[str, Artifact]:
        """Return the artifacts among the arguments, by their path such as `images` or `predictions.0`."""
        return {name: item for key, value in self.arguments.items() for name, item in artifacts_in(key, value)}

    def identity(self) -> Json:
        """Return what identifies the artifact: stage, version, resolved config, fingerprints of the inputs."""
        runtime = self.stage.runtime_arguments()
        arguments = {key: _identified(value) for key, value in self.arguments.items() if key not in runtime}
        return {"stage": self.stage.name, "version": self.stage.version, "arguments": arguments}

    def fingerprint(self) -> str:
        """Return the first 16 hexadecimal digits of the identity's digest."""
        return digest(self.identity())[:16]


def artifacts_in(name: str, value: object) -> Iterator[tuple[str, Artifact]]:
    """Yield the artifacts in an argument of a stage, each with its path below `name`, such as `images.0`."""
    if isinstance(value, Artifact):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from artifacts_in(f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from artifacts_in(f"{name}.{number}", item)
    elif is_dataclass(value):
        yield from artifacts_in(name, _fields(value))


def _identified(value: object) -> Json:
    if isinstance(value, Artifact):
        return {"artifact": type(value).__name__, "fingerprint": value.fingerprint}
    if isinstance(value, Mapping):
        return {str(key): _identified(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_identified(item) for item in value]
    if is_dataclass(value):
        return {"record": type(value).__name__, "fields": _identified(_fields(value))}
    return identity(value)


def _fields(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


class Record(TypedDict):
    """`stage.json`: the provenance of an artifact.

    Attributes:
        inputs: the version of each input (`Artifact.made`).
        digest: of the names and contents of all its files.
        code: digest of the stage's module.
        made: the version of the artifact, new each time it is made.
    """

    stage: str
    label: str
    fingerprint: str
    artifact: str
    identity: dict[str, Any]
    inputs: dict[str, str]
    input_folders: dict[str, str]
    input_fingerprints: dict[str, str]
    digest: str
    code: str
    made: str
    seconds: float
    finished: str
    versions: dict[str, str]
    commit: str


def fingerprint_in_name(folder: Path) -> str:
    """Return the fingerprint in a folder's name (STAGE-FINGERPRINT), or "" if the name has another form."""
    match = _NAME.fullmatch(folder.absolute().name)
    return match[1] if match else ""


def read_record(folder: Path) -> Record:
    """Read the `stage.json` of an artifact's folder.

    Raises:
        MissingInputError: if the folder is not a complete artifact.
        DamagedFileError: if no stage wrote it so, or the folder's name has the fingerprint of another artifact.
    """
    path = folder / RECORD
    if not path.is_file():
        raise MissingInputError(f"{folder} is not a finished artifact: it has no {RECORD}. `fulora status` lists them.")
    record = read_json(path, Record)
    if digest(record["identity"])[:16] != record["fingerprint"]:
        raise DamagedFileError(f"{path}: is damaged: its identity is not that of its fingerprint")
    if fingerprint_in_name(folder) not in ("", record["fingerprint"]):
        own = f"{record['stage']}-{record['fingerprint']}"
        raise DamagedFileError(
            f"{folder}: holds another artifact, {own}: the folder was renamed, exchanged or copied. If it was renamed, "
            f"name it {own} again"
        )
    return record
