"""One self-contained page with the figures, tables and numbers of a study, and the provenance of each."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from fulora.config import Config
from fulora.data.results import Report
from fulora.report.parts import ReportPart
from fulora.stage import stage


class ReportConfig(Config):
    """The page's title, and a description of the data."""

    title: str = Field(pattern=r"\w")
    about: str


@stage(version=9)
def report(out: Path, config: ReportConfig, sections: Sequence[ReportPart]) -> Report:
    """Write `report.html`, `report.md`, the tables as CSV and the figures as PNG.

    Args:
        sections: the parts of the page in their order, each with the artifacts that it shows.
    """
    from fulora.report.study import write_study_report

    write_study_report(out, sections, title=config.title, about=config.about)
    return Report(out, "")
