"""`fulora data`: bring data sets here, check them, curate them, take names out of DICOM files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fulora import progress
from fulora.engine import InProcess
from fulora.workspace import Workspace
from pipelines.commands.verify import typed

if TYPE_CHECKING:
    from rich.console import Console

    from fulora.intake.check.findings import Check, Finding

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
    from fulora.intake.download.published_sets import DATASETS, download

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

    Patients and pixels across splits, labels that disagree, unreadable and missing files, masks, pixel sizes. Of a
    folder that holds several data sets each is checked, and what they share. Every class folder or label is a class,
    unless label_set names the classes: a shipped one (an unknown name lists them) or a YAML file. classes={...} says
    which of them a folder holds; an empty name leaves its images out.

    Examples:

      fulora data check data/african

      fulora data check my_images kind=class_folders patient_pattern='Patient(\\d+)' --json report.json

      fulora data check my_images patients_unknown=true label_set=fetal_planes

      fulora data check my_images patients_unknown=true label_set=my_classes.yaml 'classes={Kopf: head}'

      fulora data check dicom_export key_file=key.txt
    """
    from fulora.config import overridden
    from fulora.intake.check.check_folder import check_folder

    progress.show(not quiet)
    found = check_folder(folder, overridden({}, overrides or []))
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

    for name, one in found.sets.items():
        _print(folder / name, one)
    console = PlainConsole()
    facts = f": {found.kind}, {found.n_images} images of {found.n_patients} patients"
    console.print(styled((str(folder), "bold"), facts))
    if found.patients:
        more = ", ..." if found.n_patients > len(found.patients) else ""
        console.print(f"patients such as {', '.join(found.patients)}{more}", soft_wrap=True)
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

    label_set, classes and caption say what its classes are and are called, as for `check`.

    Examples:

      fulora data curate data/hc18 role=train+validation+test image_size_px=256

      fulora data curate my_images kind=class_folders patient_pattern='Patient(\\d+)' fit=native unusable=leave_out

      fulora data curate my_images patients_unknown=true caption='ultrasound of {name}' role=train+validation+test

      fulora data curate my_images patients_unknown=true label_set=my_classes.yaml 'classes={Kopf: head, scout: ""}'

      fulora data curate dicom_export key_file=key.txt role=train+validation+test
    """
    from fulora.config import overridden
    from fulora.intake.check.check_folder import curate_config
    from pipelines.sources import curated

    progress.show(not quiet)
    config, root = curate_config(folder, _with_detector(overridden({}, overrides or [])))
    images = curated(config, root, Workspace(work, InProcess(), command=typed()))
    left_out = images.path / "audit" / "left_out.txt"
    if left_out.is_file():
        lost = left_out.read_text(encoding="utf-8").splitlines()
        progress.console.print(f"left out: {len(lost)}, listed in {left_out}", soft_wrap=True)
    _print_text_state(images.path)
    print(images.path)


def _with_detector(values: dict[str, Any]) -> dict[str, Any]:
    """The values, and the text detector where it is installed and text is looked for."""
    from fulora.intake.deidentify.text_detection import installed_detector

    used = installed_detector() and values.get("deidentify") != "nothing"
    return ({"text_detector": "rapidocr"} if used else {}) | values


def _print_text_state(images: Path) -> None:
    """What is known of the text in an image set's pictures, and how a person checks it."""
    from fulora.intake.deidentify.confirmation import confirmation_state
    from fulora.intake.deidentify.review import CLEANED, REVIEW, UNCHANGED

    known, audit = confirmation_state(images), images / "audit"
    if known is None:
        return
    review = json.loads((audit / REVIEW).read_text(encoding="utf-8"))
    counts = review["counts"]
    if known == CLEANED:
        found = f"{counts['images']} images: {counts[CLEANED]} {CLEANED}; {counts[UNCHANGED]} {UNCHANGED}"
        _print_review(review["text removed"], found, len(review["sheets"]), audit, images)
    else:
        progress.console.print(f"{counts['images']} images, {known}", soft_wrap=True, highlight=False, markup=False)
    progress.console.print(f"remove {audit} before you pass the set on", soft_wrap=True, highlight=False, markup=False)


def _print_review(searched: str, found: str, pages: int, sheets: Path, folder: Path) -> None:
    """What was removed automatically, and how a person checks and confirms it."""
    from fulora.intake.deidentify.text_detection import installed_detector

    hint = "" if installed_detector() else " (pip install 'fulora[text]' adds one, which finds most names on tissue)"
    progress.console.print(
        f"text removed: {searched}{hint}\n{found}\nLook at all {pages} sheets in {sheets}: they show what was removed, "
        "names among it, and what was not; keep them private. If no text is left, confirm it:\n"
        f'  fulora data deidentify --confirm {folder} --by "YOUR NAME"',
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


@app.command()
def deidentify(
    folder: Annotated[Path | None, typer.Argument(help="DICOM files, in folders or not.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the cleaned copies; must not be there.")] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="The secret that pseudonyms are made with, one line.")
    ] = None,
    pixels: Annotated[
        Literal["outside", "everywhere", "unchecked"],
        typer.Option(help="Blank text outside the sector, also what is drawn on tissue, or look for none."),
    ] = "everywhere",
    label_set: Annotated[
        str | None,
        typer.Option(help="A label set, by name or path: folders named after its classes keep their names."),
    ] = None,
    confirm: Annotated[
        Path | None, typer.Option("--confirm", help="An export or image set whose sheets you have looked at.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="With --confirm: the name of who looked at them.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write DICOM files back without names: the standard's basic profile, and burned-in text blanked.

    Not all text is found: the copies say BurnedInAnnotation YES, and beside them stand sheets of every frame before
    and after. Look at all sheets; if no text is left, confirm it: the files then say NO, and who confirmed is recorded.

    Examples:

      fulora data deidentify export --to clean --key-file key.txt

      fulora data deidentify --confirm clean --by "A. Person"

      fulora data deidentify --confirm work/curate-0123456789abcdef --by "A. Person"
    """
    from fulora.intake.deidentify.confirmation import confirm_folder as confirm_folder

    progress.show(not quiet)
    if confirm is not None:
        if by is None or folder or to or key_file or label_set:
            raise typer.BadParameter('--confirm DIR goes with --by "NAME OF WHO LOOKED", and with nothing else')
        print(confirm_folder(confirm, by))
        return
    if folder is None or to is None or key_file is None or by is not None:
        raise typer.BadParameter('give FOLDER --to NEW --key-file FILE, or --confirm DIR --by "NAME OF WHO LOOKED"')
    _deidentify(folder, to, key_file, pixels, label_set)


def _deidentify(
    folder: Path,
    to: Path,
    key_file: Path,
    pixels: Literal["outside", "everywhere", "unchecked"],
    label_set: str | None,
) -> None:
    from fulora.data.label_set import label_set as named
    from fulora.intake.deidentify.review import CLEANED, EXPORT_LIST, SHEETS, UNCHANGED, review_folder
    from fulora.intake.deidentify.text_detection import find_words, installed_detector
    from fulora.intake.dicom.deidentify_folder import deidentify_folder
    from fulora.intake.key_file import read_key

    where, words = None if pixels == "unchecked" else pixels, find_words if installed_detector() else None
    review = deidentify_folder(folder, to, read_key(key_file), where, words, named(label_set) if label_set else None)
    counts = review.counts()
    found = (
        f"{counts['files']} files, {counts['frames']} frames: {counts[CLEANED]} files {CLEANED}; "
        f"{counts[UNCHANGED]} {UNCHANGED}; all say BurnedInAnnotation YES until a person has checked them"
    )
    _print_review(review.searched, found, review.pages, review_folder(to) / SHEETS, to)
    print(to / EXPORT_LIST)
