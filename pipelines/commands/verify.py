"""`fulora verify`, and the check of artifacts that every other command makes before it reads them."""

import functools
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from fulora import progress
from pipelines.commands.options import Quiet
from pipelines.commands.output import build_table
from pipelines.commands.output_paths import PLACES, check_output_path

WRITTEN = ("out",)
"""Options that name what a command makes, perhaps in a folder that a stopped run left."""


def typed() -> str:
    """Return the command as the user typed it, for messages that say how to make something again."""
    return shlex.join(["fulora", *sys.argv[1:]]) if Path(sys.argv[0]).name in ("fulora", "__main__.py") else ""


def checking(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the command, which first checks every artifact given by path against the list of its files.

    Raises:
        DamagedArtifactError: if an artifact was changed since it was made.
        NotADirectoryError: if a file is where a folder is to be written.
    """

    @functools.wraps(command)
    def checked(*args: Any, **options: Any) -> Any:
        from fulora.integrity import check

        for name, value in options.items():
            if name in PLACES and isinstance(value, Path):
                check_output_path(command.__name__, name, value)
            for path in value if isinstance(value, list | tuple) else (value,):
                if isinstance(path, Path) and name not in WRITTEN and os.path.exists(path):
                    check(path)
        return command(*args, **options)

    return checked


def check_all(app: typer.Typer) -> None:
    """Replace every command of an app, and of its groups, by its `checking` version."""
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
    quiet: Quiet = False,
) -> None:
    """Hash every file of every artifact and compare it with what was made; exit code 1 when anything differs.

    Other commands compare sizes and times, and hash files that differ in those; this one hashes all, names added files
    as well, and checks the digests that a workspace keeps of outside data. It prints each damaged file and the command
    that makes its artifact again. Artifacts that a stopped run has begun are listed and are no error.

    Examples:

      fulora verify work

      fulora verify work/train_lora-0123456789abcdef synthetic
    """
    from fulora import verification
    from fulora.terminal import PlainConsole, styled

    progress.show(not quiet)
    result = verification.verify(folders)
    console = PlainConsole()
    table = build_table(("artifact", "files", "MB", ""))
    for artifact in result.artifacts:
        state = styled(("damaged", "red") if artifact.errors else ("as made", "green"))
        table.add_row(artifact.folder.name, str(artifact.files), f"{artifact.bytes / 1e6:.1f}", state)
    for folder in result.unfinished:
        table.add_row(folder.name, "", "", styled(("unfinished", "yellow")))
    console.print(table)
    for line in result.errors:
        console.print(line, soft_wrap=True)
    console.print(styled(("see above", "red") if result.errors else ("everything is as it was made", "green")))
    if result.errors:
        raise typer.Exit(1)
