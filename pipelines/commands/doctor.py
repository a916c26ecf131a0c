"""`fulora doctor`: what is installed, which devices there are, and what is missing."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import JsonFile, Work

STYLES = {"ok": "green", "missing": "yellow", "broken": "red"}


def doctor(
    work: Work = Path("work"),
    backbone: Annotated[
        Path | None, typer.Option(help="Folder of a diffusers backbone to look at, instead of the Hugging Face cache.")
    ] = None,
    clip: Annotated[Path | None, typer.Option(help="Folder of a CLIP in open_clip's layout, likewise.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Examine versions, devices, memory, room and weights, without network; exit code 1 if something needed is broken.

    What is missing is listed with the command that fetches it, also for a machine without internet.

    Examples:

      fulora doctor

      fulora doctor --work /scratch/work --backbone weights/sd15 --clip weights/clip

      fulora doctor --json machine.json
    """
    from fulora.terminal import PlainConsole, styled
    from pipelines.commands.output import write_json
    from pipelines.jobs.doctor import examine

    examination = examine(work, backbone=backbone, clip=clip)
    if not write_json(json_file, examination.to_json()):
        console = PlainConsole()
        for section, findings in examination.sections().items():
            console.print(section, style="bold")
            for each in findings:
                mark = (f"{each.state:8s}", STYLES[each.state])
                console.print(styled("  ", mark, f"{each.name:28s} {each.value}"), soft_wrap=True)
                for line in each.advice.splitlines():
                    console.print(f"           {line}", soft_wrap=True)
    if examination.broken:
        raise typer.Exit(1)
