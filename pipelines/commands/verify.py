"""`fulora verify`, and the look at artifacts that every other command takes before it reads them."""

import functools
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fulora import progress
from pipelines.commands.places import PLACES, check_place

if TYPE_CHECKING:
    from fulora.terminal import PlainConsole

SHOWN = 20
WRITTEN = ("out",)
"""Options that name what a command makes, perhaps in a folder that a killed run left."""


def typed() -> str:
    """The command as the user typed it, for messages that say how to make something again."""
    return shlex.join(["fulora", *sys.argv[1:]]) if Path(sys.argv[0]).name in ("fulora", "__main__.py") else ""


def checking(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, which first holds every artifact that it is given by path against the list of its files.

    Raises:
        DamagedArtifactError: one is not as it was made.
        NotADirectoryError: a file is in the way of what it is to write.
    """

    @functools.wraps(command)
    def checked(*args: Any, **given: Any) -> Any:
        from fulora.integrity import check

        for name, value in given.items():
            if name in PLACES and isinstance(value, Path):
                check_place(command.__name__, name, value)
            for path in value if isinstance(value, list | tuple) else (value,):
                if isinstance(path, Path) and name not in WRITTEN and os.path.exists(path):
                    check(path)
        return command(*args, **given)

    return checked


def check_all(app: typer.Typer) -> None:
    """Make every command of an app, and of the apps in it, a `checking` one."""
    for info in app.registered_commands:
        if info.callback is not None and info.callback is not verify:
            info.callback = checking(info.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            check_all(group.typer_instance)


def verify(
    folders: Annotated[
        list[Path], typer.Argument(metavar="WORK|ARTIFACT...", help="Workspaces, artifacts, generated sets, LoRAs.")
    ],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")] = False,
) -> None:
    """Hash every file of every artifact and compare it with what was made; exit code 1 when anything differs.

    Other commands compare sizes and times, and hash what differs in those; this one hashes all, names files that were
    added as well, and looks at the digests that a workspace keeps of outside data. It prints each damaged file and the
    command that makes its artifact again. What a stopped run has begun is named and is no error.

    Examples:

      fulora verify work

      fulora verify work/train_lora-0123456789abcdef synthetic
    """
    from rich.table import Table

    from fulora.terminal import PlainConsole, styled

    progress.show(not quiet)
    console = PlainConsole()
    table = Table("artifact", "files", "MB", "", box=None, pad_edge=False, header_style="bold")
    wrong: list[str] = []
    for folder in progress.track(_artifacts(folders), "verified"):
        files, size, found = _verified(folder)
        state = styled(("damaged", "red") if found else ("as made", "green"))
        table.add_row(folder.name, str(files), f"{size / 1e6:.1f}", state)
        wrong += found
    wrong += [line for folder in folders for line in _outside(folder / ".digests.json")]
    for folder in _begun(folders):
        table.add_row(folder.name, "", "", styled(("unfinished", "yellow")))
    console.print(table)
    _tell(console, wrong)
    if wrong:
        raise typer.Exit(1)


def _tell(console: "PlainConsole", wrong: list[str]) -> None:
    from fulora.terminal import styled

    for line in wrong:
        console.print(line, soft_wrap=True)
    console.print(styled(("see above", "red") if wrong else ("everything is as it was made", "green")))


def _artifacts(folders: list[Path]) -> list[Path]:
    """The artifacts among folders, and in them where they are workspaces.

    Raises:
        ValueError: a folder is neither.
    """
    found: list[Path] = []
    for folder in folders:
        if _is_artifact(folder):
            found.append(folder)
            continue
        inside = [path for path in sorted(folder.glob("*")) if not path.name.startswith(".") and _is_artifact(path)]
        if not inside and not _begun([folder]) and not (folder / ".digests.json").is_file():
            what = "holds no artifacts" if folder.is_dir() else "is a file" if folder.is_file() else "is not there"
            raise ValueError(f"{folder}: {what}; give a workspace (--work) or an artifact's folder")
        found += inside
    return found


def _is_artifact(folder: Path) -> bool:
    """A folder with a list or a record, or one that should have them."""
    from fulora.integrity import LIST, lacks_list
    from fulora.stage import RECORD, fingerprint_in_name

    told = (folder / LIST).is_file() or (folder / RECORD).is_file()
    return told or lacks_list(folder) or (folder.is_dir() and fingerprint_in_name(folder) != "")


def _begun(folders: list[Path]) -> list[Path]:
    """Scratch folders in workspaces, of artifacts that are not complete."""
    return [path for folder in folders for path in sorted(folder.glob(".*.partial")) if path.is_dir()]


def _verified(folder: Path) -> tuple[int, int, list[str]]:
    """How many files of how many bytes an artifact has, and what is wrong, each file and then how to make it again."""
    from fulora.integrity import DamagedArtifactError, differences, read_list, remedy

    try:
        listed, found = read_list(folder), differences(folder, thorough=True)
    except DamagedArtifactError as error:
        return 0, 0, [str(error)]
    size = sum(entry.size for entry in listed.values())
    lines = [f"{folder / one.name}: {one.what}" for one in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"{folder}: {len(found) - SHOWN} more files")
    if all(one.what == "added" for one in found):
        return len(listed), size, [*lines, f"Move away what was added to {folder}"] if found else []
    return len(listed), size, [*lines, remedy(folder)]


def _outside(cache: Path) -> list[str]:
    """What a workspace's digests of outside data say wrongly."""
    from fulora.digests import mismatches_in_cache

    return [
        f"{path}: its content is not what {cache} says of it, though size and times are; remove {cache}, and outside "
        "data are read again"
        for path in mismatches_in_cache(cache)
    ]
