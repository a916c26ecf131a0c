"""`checklist`: a reporting standard's checklist, filled with what the records of a finished study tell."""

from dataclasses import dataclass
from pathlib import Path

from fulora.files import write_atomic
from fulora.report.checklist import Checklist, fill, read_standard, to_html, to_markdown
from fulora.stage import read_record
from pipelines.jobs.study_facts import study_facts
from pipelines.jobs.tables import Cell, Table

ENDINGS = (".html", ".md", ".docx")


@dataclass(frozen=True)
class FilledChecklist:
    """A checklist filled for a study."""

    checklist: Checklist

    @property
    def table(self) -> Table:
        """A row for each item: what the records say, and what the author must write."""
        rows: list[dict[str, Cell]] = [
            {"item": number, "asked": asked, "fact": fact, "author must write": author}
            for number, _, asked, fact, _, author in self.checklist.rows
        ]
        return Table(self.checklist.summary, rows)

    def write(self, path: str | Path) -> None:
        """Write it as .html, .md or .docx.

        Raises:
            ValueError: if the file has another ending, or .docx is not installed.
        """
        path = Path(path)
        if path.suffix not in ENDINGS:
            raise ValueError(f"{path}: a checklist is written as {', '.join(ENDINGS)}")
        if path.suffix == ".docx":
            from fulora.report.checklist_docx import write_docx

            write_docx(path, self.checklist)
        else:
            write_atomic(path, (to_html if path.suffix == ".html" else to_markdown)(self.checklist))

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def checklist(report: str | Path, standard: str = "claim") -> FilledChecklist:
    """Fill a reporting standard's checklist from the records of a study.

    Example:

        filled = fu.checklist("work/report-0123456789abcdef")
        filled.write("claim.docx")

    Args:
        report: the folder of a study's report, beside the artifacts that it was made from; or its `report.html`.
        standard: `claim` is CLAIM 2024.

    Raises:
        ChecklistError: if there is no such standard.
        MissingInputError: if the folder is not a finished artifact.
        ValueError: if it is not a report.
    """
    chosen, folder = read_standard(standard), Path(report)
    folder = folder.parent if folder.suffix == ".html" else folder
    if read_record(folder)["artifact"] != "Report":
        raise ValueError(f"{folder}: is not the report of a study; `fulora run` prints the path of one")
    return FilledChecklist(fill(chosen, study_facts(folder.absolute())))
