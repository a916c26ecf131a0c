"""`fulora show`: what an artifact is."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fulora.json_files import read_json_lines
from fulora.stage import RECORD, read_record
from fulora.terminal import PlainConsole, styled
from pipelines.commands.output import print_table


def show(
    artifact: Annotated[
        Path, typer.Argument(help="An artifact's folder, as `run` and `status` print it, or a set of images.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="The whole record as JSON.")] = False,
) -> None:
    """Describe an artifact: the stage, config, inputs, versions and commit that made it, and its first rows.

    Of a set of images, its numbers of images by class, split and origin; of a generated one, its backbone, LoRAs and
    seed.

    Examples:

      fulora show work/score-0123456789abcdef

      fulora show synthetic
    """
    import yaml

    from pipelines.jobs.inputs import is_image_set

    has_images = is_image_set(artifact)
    if has_images and not (artifact / RECORD).is_file():
        _print_images(artifact, as_json)
        return
    record = read_record(artifact)
    if as_json:
        print(json.dumps(record, indent=1))
        return
    console = PlainConsole()
    console.print(styled((str(record["label"]), "bold"), f" ({record['artifact']}, stage {record['stage']})"))
    for key in ("fingerprint", "digest", "finished", "seconds", "commit"):
        console.print(f"  {key:12s} {record[key]}")
    for name, folder in record["input_folders"].items():
        console.print(f"  input        {name}: {folder}", soft_wrap=True)
    if (artifact / "audit").is_dir():
        from fulora.intake.deidentify.confirmation import confirmation_state

        console.print(f"  text         {confirmation_state(artifact) or 'not searched for'}", soft_wrap=True)
    console.print(
        yaml.safe_dump({"versions": record["versions"], "identity": record["identity"]}, sort_keys=False),
    )
    table = artifact / "table.jsonl"
    if table.is_file():
        _print_table(console, table)
    if has_images:
        _print_images(artifact, False)


def _print_images(folder: Path, as_json: bool) -> None:
    """Print the images of a set by class, split and origin, and how it was mixed or generated."""
    from fulora.data.image_set import ImageSet
    from pipelines.jobs.images import Images

    table = Images(ImageSet(folder, "")).table
    if as_json:
        print(json.dumps(table.to_json(), indent=1, ensure_ascii=False))
    else:
        print_table(table)


def _print_table(console: PlainConsole, path: Path, limit: int = 30) -> None:
    rows = read_json_lines(path, dict[str, Any])
    console.print(f"{path.name}: {len(rows)} rows" + (f", the first {limit}" if len(rows) > limit else ""))
    for row in rows[:limit]:
        cells = (f"{key}={_text(value)}" for key, value in row.items() if value not in ("", None))
        console.print("  " + "  ".join(cells), soft_wrap=True)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
