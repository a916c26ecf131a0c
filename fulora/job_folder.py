"""An artifact in a folder that the user names: the output of one job, made as a study makes it."""

from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from fulora.files import partial_folder
from fulora.integrity import check, note_command
from fulora.progress import note
from fulora.stage import RECORD, Artifact, Call, Stage, read_record
from fulora.workspace import Step, make

P = ParamSpec("P")
A = TypeVar("A", bound=Artifact)


class OutputFolderError(ValueError):
    """The output folder holds something else. The message says what, and what to do."""


def make_in(folder: Path, stage: Stage[P, A], command: str, *args: P.args, **kwargs: P.kwargs) -> A:
    """Return the artifact of a stage in `folder`: made, continued if it was interrupted, or finished already.

    The folder is complete or absent, as in a study (`fulora.workspace`); it holds the same files as the study's.

    Args:
        command: makes the artifact again; messages about damage contain it.

    Raises:
        OutputFolderError: if the folder holds other files, or an artifact of other settings or inputs, finished or not.
        DamagedArtifactError: if the folder holds this artifact, and its files have changed.
        ValueError: if the check of the stage fails.
    """
    call = stage.call(*args, **kwargs)
    if is_finished(folder, call):
        note(f"{folder}: is finished already")
        return stage.returns(folder, call.fingerprint())
    if stage.check is not None:
        stage.check(**call.arguments)
    if stage.resumes and partial_folder(folder).is_dir():
        _refuse_other_call(folder, call)
        note(f"{folder}: was interrupted, continues")
    _begun_with(folder).parent.mkdir(parents=True, exist_ok=True)
    _begun_with(folder).write_text(call.fingerprint(), encoding="utf-8")
    note_command(folder, command)
    artifact = stage.returns(folder, call.fingerprint())
    make(Step(call, stage.name, stage.name, artifact, "missing"))
    return artifact


def is_finished(folder: Path, call: Call[Any]) -> bool:
    """Return whether the folder holds the artifact of this call; False if it does not exist or is empty.

    Raises:
        OutputFolderError: if it holds other files, or an artifact of other settings or inputs.
        DamagedArtifactError: if it holds this artifact, and its files have changed.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not folder.is_dir():
        raise OutputFolderError(f"{folder}: is a file; name a folder for the output of {call.stage.name}")
    if not (folder / RECORD).is_file():
        raise OutputFolderError(
            f"{folder}: holds files of something else; name a new folder for the output of {call.stage.name}"
        )
    record = read_record(folder)
    versions = {name: item.made for name, item in call.inputs().items()}
    if record["fingerprint"] != call.fingerprint() or record["inputs"] != versions:
        what = ", ".join(_differences(record["identity"], call.identity())) or "an input was made again since"
        raise OutputFolderError(
            f"{folder}: holds the finished output of {record['stage']} for other settings or inputs ({what}); name "
            "a new folder, or remove this one"
        )
    check(folder)
    return True


def _begun_with(folder: Path) -> Path:
    """The file that says with which call the artifact of a folder was begun."""
    return folder.parent / ".locks" / f"{folder.name}.begun"


def _refuse_other_call(folder: Path, call: Call[Any]) -> None:
    """Refuse to continue what was begun with other settings or inputs; a study has a folder for each of them."""
    begun = _begun_with(folder)
    if not begun.is_file() or begun.read_text(encoding="utf-8") != call.fingerprint():
        partial = partial_folder(folder)
        raise OutputFolderError(
            f"{folder}: an unfinished output of {call.stage.name} with other settings or inputs is in {partial}: the "
            "command that began it continues it; else name a new folder, or remove that one"
        )


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Describe which settings and inputs of two identities differ, such as `ratio is 1.0, not 2.0`."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in dict.fromkeys([*before, *now])
            for line in _differences(before.get(key), now.get(key), name if key in TRANSPARENT else f"{name}.{key}")
        ]
    return [] if before == now else [f"{name.lstrip('.') or 'it'} is {before}, not {now}"]


TRANSPARENT = ("arguments", "config", "fingerprint", "fields")
"""Keys of an identity that users do not know."""
