"""What the commands that train a network share: arguments, settings by KEY=VALUE, and what they print."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from fulora.config import ConfigError, overridden, part
from pipelines.commands.output import print_table, write_json
from pipelines.jobs.tables import Table
from pipelines.jobs.trainings import Training

TrainingSet = Annotated[
    Path,
    typer.Argument(
        metavar="SET",
        help="An image set, or any folder that `fulora data check` reads: it is curated first, with a fifth of its "
        "patients for validation.",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for what is trained; a stopped training continues in it.")]
Start = Annotated[Path | None, typer.Option("--start", help="File of weights to start from.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print images, network, steps and device; train nothing.")]


class Job(Protocol):
    """A training that can be planned and run."""

    def planned(self) -> list[Table]:
        """Return what the training takes."""

    def train(self) -> Training:
        """Train, or continue."""


def split_settings(overrides: list[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a training, and those of the curation, which are given as `images.KEY=VALUE`.

    Raises:
        ConfigError: if overrides have no `=` or an invalid value.
    """
    settings = overridden({}, overrides or [])
    curation = part(settings, "images", where="settings")
    return {key: value for key, value in settings.items() if key != "images"}, curation


def curation_settings(overrides: list[str] | None) -> dict[str, Any]:
    """Return the settings of the curation of a command that has no other settings.

    Raises:
        ConfigError: if an override is not `images.KEY=VALUE`.
    """
    settings, curation = split_settings(overrides)
    if settings:
        raise ConfigError(f"{', '.join(settings)}: settings are those of the curation here, such as images.role=test")
    return curation


def run_training(job: Job, *, dry_run: bool, json_file: Path | None) -> None:
    """Train, print the table of the log, then the folder; or print the plan."""
    trained = None if dry_run else job.train()
    tables = job.planned() if trained is None else [trained.table]
    if write_json(json_file, {"path": None if trained is None else str(trained.path), "tables": table_facts(tables)}):
        return
    for table in tables:
        print_table(table)
    if trained is not None:
        print(trained.path)


def table_facts(tables: list[Table]) -> list[Mapping[str, Any]]:
    """Return tables for JSON, with numbers as they are."""
    return [{"title": table.title, "rows": list(table.rows), "notes": list(table.notes)} for table in tables]
