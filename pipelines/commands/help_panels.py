"""The panels of `fulora --help`: every command under its job, in the order in which users come to them."""

from typing import Any

import typer
from typer.core import TyperGroup

PANELS = {
    "Study": ("run", "status", "show", "report", "configs"),
    "Data": ("data", "mix", "export"),
    "Generate": ("lora", "generate", "regenerate"),
    "Evaluate": ("zero-shot", "classify", "clip", "assess", "score"),
    "Segment": ("segment", "measure"),
    "Tools": ("settings", "doctor", "verify"),
}
"""The commands of each panel."""

PANEL_OF = {command: panel for panel, commands in PANELS.items() for command in commands}
ORDER = {command: place for place, command in enumerate(PANEL_OF)}


class CommandsByJob(TyperGroup):
    """A group whose help lists commands, and groups of commands, in the order of `PANELS`; others come last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in their order."""
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.get(name, len(ORDER)))


def assign_panels(app: typer.Typer) -> None:
    """Give every command of an app its panel."""
    for command in app.registered_commands:
        if command.name in PANEL_OF:
            command.rich_help_panel = PANEL_OF[command.name]
    for group in app.registered_groups:
        if group.name in PANEL_OF:
            group.rich_help_panel = PANEL_OF[group.name]
