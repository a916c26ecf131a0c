"""`fulora data`: download data sets, check and curate them, de-identify DICOM files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fulora import progress
from fulora.engine import InProcess
from fulora.intake.download.dataset_names import DatasetName
from fulora.terminal import PlainConsole, styled
from fulora.workspace import Workspace
from pipelines.commands.options import JsonFile, Quiet, Work
from pipelines.commands.output import build_table, write_json
from pipelines.commands.phantoms import phantoms
from pipelines.commands.verify import typed

if TYPE_CHECKING:
    from fulora.intake.check.findings import Check, Finding

SHOWN = 5
COLOURS = {"leak": "bold red", "misleading": "yellow", "note": "dim"}

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Data sets: download, check, curate, de-identify.")
app.command()(phantoms)

Folder = Annotated[Path, typer.Argument(help="A folder as it was published, exported, or put together by you.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="e.g. kind=class_folders patient_pattern='P(\\d+)' fit=native"),
]


@app.command()
def download(
    name: Annotated[DatasetName, typer.Argument(help="Which data set.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to download to; complete files are kept.")],
    base_url: Annotated[str | None, typer.Option("--from", help="A mirror that has the same files.")] = None,
    quiet: Quiet = False,
) -> None:
    """Download a published data set: resumed after an interruption, checked, safely unpacked.

    Without internet it names the files and the folder to put them in.

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
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Check a folder for leaks and misleading data: exit code 1 if there are any.

    Patients and pixels across splits, contradictory labels, unreadable and missing files, masks, pixel sizes. In a
    folder of several data sets each is checked, and what they share. Every class folder or label is a class, unless
    label_set names the classes: a shipped one (an unknown name lists them) or a YAML file. classes={...} maps folders
    to classes; an empty name leaves the images of a folder out.

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
    checked = check_folder(folder, overridden({}, overrides or []))
    if not write_json(json_file, {"folder": str(folder), **checked.to_json()}):
        _print(PlainConsole(), folder, checked)
    raise typer.Exit(0 if checked.clean else 1)


def _print(console: PlainConsole, folder: Path, checked: "Check") -> None:
    for name, data_set in checked.sets.items():
        _print(console, folder / name, data_set)
    facts = f": {checked.kind}, {checked.n_images} images of {checked.n_patients} patients"
    console.print(styled((str(folder), "bold"), facts))
    if checked.patients:
        more = ", ..." if checked.n_patients > len(checked.patients) else ""
        console.print(f"patients such as {', '.join(checked.patients)}{more}", soft_wrap=True)
    table = build_table(("by", "value", "count"))
    for by, values in checked.counts.items():
        for number, (value, count) in enumerate(list(values.items())[:12]):
            table.add_row(by if number == 0 else "", value, f"{count:,}")
        if len(values) > 12:
            table.add_row("", f"... {len(values) - 12} more", "")
    console.print(table)
    for finding in checked.findings:
        _print_finding(console, finding)
    verdict = ("nothing found that would leak or mislead", "green") if checked.clean else ("see above", "red")
    count = len(checked.findings)
    console.print(styled(f"{count} finding{'' if count == 1 else 's'}: ", verdict))


def _print_finding(console: PlainConsole, finding: "Finding") -> None:
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
    work: Work = Path("work"),
    quiet: Quiet = False,
) -> None:
    """Curate a folder into an image set: text removed, fitted to one size, split by patient; any tool opens it.

    label_set, classes and caption name its classes, as for `check`.

    Examples:

      fulora data curate data/hc18 role=train+validation+test image_size_px=256

      fulora data curate my_images kind=class_folders patient_pattern='Patient(\\d+)' fit=native unusable=leave_out

      fulora data curate my_images patients_unknown=true caption='ultrasound of {name}' role=train+validation+test

      fulora data curate my_images patients_unknown=true label_set=my_classes.yaml 'classes={Kopf: head, scout: ""}'

      fulora data curate dicom_export key_file=key.txt role=train+validation+test
    """
    from fulora.config import overridden
    from fulora.intake.check.check_folder import curate_config
    from fulora.intake.deidentify.text_detection import with_text_detector
    from pipelines.study_inputs import curated

    progress.show(not quiet)
    config, root = curate_config(folder, with_text_detector(overridden({}, overrides or [])))
    images = curated(config, root, Workspace(work, InProcess(), command=typed()))
    left_out = images.path / "audit" / "left_out.txt"
    if left_out.is_file():
        lines = left_out.read_text(encoding="utf-8").splitlines()
        progress.console.print(f"left out: {len(lines)}, listed in {left_out}", soft_wrap=True)
    _print_text_state(images.path)
    print(images.path)


def _print_text_state(images: Path) -> None:
    """Print what is known of the text in an image set's images, and how a person checks it."""
    from fulora.intake.deidentify.review import CLEANED, UNCHANGED
    from fulora.intake.deidentify.text_review import read_text_review

    review = read_text_review(images)
    if review is None:
        return
    counts = review.counts
    if review.state == CLEANED:
        summary = f"{counts['images']} images: {counts[CLEANED]} {CLEANED}; {counts[UNCHANGED]} {UNCHANGED}"
        _print_review(review.searched, summary, review.pages, review.folder, images)
    else:
        _print_plain(f"{counts['images']} images, {review.state}")
    _print_plain(f"remove {review.folder} before you pass the set on")


def _print_review(searched: str, summary: str, pages: int, sheets: Path, folder: Path) -> None:
    """Print what was removed automatically, and how a person checks and confirms it."""
    from fulora.intake.deidentify.text_detection import installed_detector

    hint = "" if installed_detector() else " (pip install 'fulora[text]' adds one, which finds most names on tissue)"
    _print_plain(
        f"text removed: {searched}{hint}\n{summary}\nLook at all {pages} sheets in {sheets}: they show what was "
        "removed, names among it, and what was not; keep them private. If no text is left, confirm it:\n"
        f'  fulora data deidentify --confirm {folder} --by "YOUR NAME"'
    )


def _print_plain(text: str) -> None:
    progress.console.print(text, soft_wrap=True, highlight=False, markup=False)


@app.command()
def deidentify(
    folder: Annotated[Path | None, typer.Argument(help="DICOM files, in folders or not.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="New folder for the cleaned copies.")] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="The secret that pseudonyms are derived from, one line.")
    ] = None,
    pixels: Annotated[
        Literal["outside", "everywhere", "unchecked"],
        typer.Option(help="Remove text outside the sector, or also on tissue, or do not search for text."),
    ] = "everywhere",
    label_set: Annotated[
        str | None,
        typer.Option(help="A label set, by name or path: folders named after its classes keep their names."),
    ] = None,
    confirm: Annotated[
        Path | None, typer.Option("--confirm", help="An export or image set whose sheets you have looked at.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="With --confirm: the name of the person who looked at them.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """De-identify DICOM files: the standard's basic profile, and burned-in text removed.

    Not all text is found: the copies state BurnedInAnnotation YES, and sheets beside them show every frame before and
    after. Look at all sheets; if no text is left, confirm it: the files then state NO, and who confirmed is recorded.

    Examples:

      fulora data deidentify export --to clean --key-file key.txt

      fulora data deidentify --confirm clean --by "A. Person"

      fulora data deidentify --confirm work/curate-0123456789abcdef --by "A. Person"
    """
    from fulora.data.label_set import label_set as read_label_set
    from fulora.intake.deidentify.confirmation import confirm_folder as confirm_folder
    from fulora.intake.deidentify.review import CLEANED, EXPORT_LIST, SHEETS, UNCHANGED, review_folder
    from fulora.intake.deidentify.text_detection import find_words, installed_detector
    from fulora.intake.dicom.deidentify_folder import deidentify_folder
    from fulora.intake.key_file import read_key

    progress.show(not quiet)
    if confirm is not None:
        if by is None or folder or to or key_file or label_set:
            raise typer.BadParameter('--confirm DIR goes with --by "NAME OF WHO LOOKED", and with nothing else')
        print(confirm_folder(confirm, by))
        return
    if folder is None or to is None or key_file is None or by is not None:
        raise typer.BadParameter('give FOLDER --to NEW --key-file FILE, or --confirm DIR --by "NAME OF WHO LOOKED"')
    where, words = None if pixels == "unchecked" else pixels, find_words if installed_detector() else None
    labels = read_label_set(label_set) if label_set else None
    review = deidentify_folder(folder, to, read_key(key_file), where, words, labels)
    counts = review.counts()
    summary = (
        f"{counts['files']} files, {counts['frames']} frames: {counts[CLEANED]} files {CLEANED}; "
        f"{counts[UNCHANGED]} {UNCHANGED}; all state BurnedInAnnotation YES until a person has checked them"
    )
    _print_review(review.searched, summary, review.pages, review_folder(to) / SHEETS, to)
    print(to / EXPORT_LIST)
