"""`fulora report`: a reporting standard's checklist of a finished study."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.output import print_table


def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a study's report, or its report.html.")],
    checklist: Annotated[str, typer.Option(help="A reporting standard; an unknown name lists them.")] = "claim",
    out: Annotated[
        list[Path] | None, typer.Option("--out", help="A file: .html, .md or .docx; several times. Default: print.")
    ] = None,
) -> None:
    """Fill the checklist of a reporting standard with what the records of a study tell.

    Each item has the fact and the artifact that holds it, or what the author must write. Nothing is filled in that no
    record holds.

    Examples:

      fulora report work/report-0123456789abcdef --checklist claim --out claim.docx --out claim.md

      fulora report work/report-0123456789abcdef/report.html
    """
    from pipelines.jobs.checklist import checklist as fill_checklist

    filled = fill_checklist(folder, checklist)
    if not out:
        print_table(filled.table)
    for path in out or ():
        filled.write(path)
        print(path)
    if out:
        print(filled.checklist.summary)
