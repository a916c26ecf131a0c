"""`fulora settings`: what can be set, and what it means."""

from typing import Annotated

import typer

from pipelines.commands.options import JsonFile


def settings(
    name: Annotated[
        str | None, typer.Argument(help="A job such as lora, generate or mix, or a kind of source; all are listed.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Print every setting of a job: its key, what is allowed, its default and its meaning.

    Keys are given as KEY=VALUE to commands, and as nested keys in a study's YAML file.

    Examples:

      fulora settings

      fulora settings lora

      fulora settings generate --json generate.json
    """
    from fulora.terminal import PlainConsole
    from pipelines.commands.output import build_table, write_json
    from pipelines.jobs.settings import describe_settings, list_settings

    if name is None:
        listed = list_settings()
        if not write_json(json_file, listed):
            table = build_table(("settings", "of"))
            for each, about in listed.items():
                table.add_row(each, about)
            PlainConsole().print(table)
        return
    described = describe_settings(name)
    if write_json(json_file, described.to_json()):
        return
    console = PlainConsole()
    console.print(f"{described.name}: {described.about}\n")
    for row in described.rows:
        console.print(f"{row.key} = {row.default}" if row.default else f"{row.key}:", style="bold", soft_wrap=True)
        console.print(f"    {row.type}", style="dim", soft_wrap=True)
        console.print(f"    {row.meaning}", soft_wrap=True)
