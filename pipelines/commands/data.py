"""`fulora data`: bring data sets here, check them, curate them, take names out of DICOM files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fulora import progress
from fulora.engine import InProcess
from fulora.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from fulora.intake.findings import Check, Finding

SHOWN = 5
COLOURS = {"leak": "bold red", "misleading": "yellow", "note": "dim"}

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Data sets: download, check, curate, de-identify.")

Folder = Annotated[Path, typer.Argument(help="A folder as it was published, exported, or put together by you.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="e.g. kind=class_folders patient_pattern='P(\\d+)' fit=native"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


@app.command()
def download(
    name: Annotated[Literal["fetal_planes", "african", "hc18", "psfhs"], typer.Argument(help="Which data set.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to bring it to; what is there already is kept.")],
    base_url: Annotated[str | None, typer.Option("--from", help="A mirror that has the same files.")] = None,
    quiet: Quiet = False,
) -> None:
    """Download a published data set: resumed where it was cut off, checked, safely unpacked.

    Without internet it says which files to put where.

    Examples:

      fulora data download hc18 --to data/hc18

      fulora data download fetal_planes --to data
    """
    from fulora.intake.download import DATASETS, download

    progress.show(not quiet)
    dataset = DATASETS[name]
    for path in download(dataset, to, base_url=base_url):
        print(path)
    progress.console.print(f"{dataset.title} ({dataset.record}, {dataset.licence}). Cite: {dataset.citation}")


@app.command()
def check(
    folder: Folder,
    overrides: Overrides = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the same facts as JSON; - prints them.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Look for what would leak or mislead: exit code 1 when something is found.

    Patients and pixels across splits, labels that disagree, unreadable and missing files, masks, pixel sizes.

    Examples:

      fulora data check data/african

      fulora data check my_images kind=class_folders patient_pattern='Patient(\\d+)' --json report.json
    """
    from fulora.config import overridden
    from fulora.intake.inspection import inspect

    progress.show(not quiet)
    found = inspect(folder, overridden({}, overrides or []))
    text = json.dumps({"folder": str(folder), **found.to_json()}, indent=1, ensure_ascii=False)
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(text + "\n", encoding="utf-8")
    if str(json_file) == "-":
        print(text)
    else:
        _print(folder, found)
    raise typer.Exit(0 if found.clean else 1)


def _print(folder: Path, found: "Check") -> None:
    from rich.table import Table

    from fulora.terminal import PlainConsole, styled

    console = PlainConsole()
    facts = f": {found.kind}, {found.n_images} images of {found.n_patients} patients"
    console.print(styled((str(folder), "bold"), facts))
    table = Table("by", "value", "count", box=None, pad_edge=False, header_style="bold")
    for by, values in found.counts.items():
        for number, (value, count) in enumerate(list(values.items())[:12]):
            table.add_row(by if number == 0 else "", value, f"{count:,}")
        if len(values) > 12:
            table.add_row("", f"... {len(values) - 12} more", "")
    console.print(table)
    for finding in found.findings:
        _print_finding(console, finding)
    verdict = ("nothing found that would leak or mislead", "green") if found.clean else ("see above", "red")
    console.print(styled(f"{len(found.findings)} findings: ", verdict))


def _print_finding(console: "Console", finding: "Finding") -> None:
    from fulora.terminal import styled

    severity, kind = (finding.severity, COLOURS[finding.severity]), (finding.kind, "bold")
    console.print(styled(severity, " ", kind, f": {finding.count} {finding.text}"), soft_wrap=True)
    for line in finding.examples[:SHOWN]:
        console.print(f"    {line}", soft_wrap=True)
    if finding.count > SHOWN:
        console.print(f"    ... {finding.count - SHOWN} more (--json FILE has all)")


@app.command()
def curate(
    folder: Folder,
    overrides: Overrides = None,
    work: Annotated[Path, typer.Option("--work", help="Folder that artifacts are kept in.")] = Path("work"),
    quiet: Quiet = False,
) -> None:
    """Make an image set of a folder: cleaned of text, fitted to one size, split by patient; any tool opens it.

    Examples:

      fulora data curate data/hc18 role=train+validation+test image_size_px=256

      fulora data curate my_images kind=class_folders patient_pattern='Patient(\\d+)' fit=native unusable=leave_out
    """
    from fulora.config import overridden
    from fulora.intake.inspection import curate_config
    from pipelines.sources import curated

    progress.show(not quiet)
    config, root = curate_config(folder, overridden({}, overrides or []))
    images = curated(config, root, Workspace(work, InProcess()))
    left_out = images.path / "audit" / "left_out.txt"
    if left_out.is_file():
        lost = left_out.read_text(encoding="utf-8").splitlines()
        progress.console.print(f"left out: {len(lost)}, listed in {left_out}", soft_wrap=True)
    if (images.path / "audit" / "summary.json").is_file():
        progress.console.print(
            f"look at the sheets in {images.path / 'audit'}: they show what was removed, names among it, and what was "
            "not; remove that folder before you pass the set on",
            soft_wrap=True,
        )
    print(images.path)


@app.command()
def deidentify(
    folder: Annotated[Path, typer.Argument(help="DICOM files, in folders or not.")],
    to: Annotated[Path, typer.Option("--to", help="Folder for the clean copies; must not be there.")],
    key_file: Annotated[Path, typer.Option("--key-file", help="The secret that pseudonyms are made with, one line.")],
    pixels: Annotated[
        Literal["outside", "everywhere", "unchecked"],
        typer.Option(help="Blank text outside the sector, also inside it, or pass pictures on unchecked."),
    ] = "outside",
    quiet: Quiet = False,
) -> None:
    """Write DICOM files back without names: the standard's basic profile, and burned-in text blanked.

    Example:

      fulora data deidentify export --to clean --key-file key.txt
    """
    from fulora.intake.dicom_folder import deidentify_folder
    from fulora.intake.read import read_key

    progress.show(not quiet)
    audit = deidentify_folder(folder, to, read_key(key_file), None if pixels == "unchecked" else pixels)
    print(audit)
