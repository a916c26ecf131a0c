"""A page about the pictures of several LoRAs: what was found of each."""

from collections.abc import Mapping
from pathlib import Path

from fulora.config import Config
from fulora.data.assessed_images import Assessment
from fulora.data.image_set import ImageSet
from fulora.data.results import Report
from fulora.stage import Artifact, stage


class ReportAssessmentConfig(Config):
    """The page's title, and what it says of its data."""

    title: str
    about: str


@stage(version=2)
def report_assessment(
    out: Path,
    config: ReportAssessmentConfig,
    synthetic: Mapping[str, ImageSet],
    images: ImageSet,
    assessments: Mapping[str, Assessment],
    curves: Mapping[str, Artifact],
) -> Report:
    """Write `report.html`, `report.md`, the tables as CSV and the figures as PNG.

    Args:
        images: whose training split trained the LoRAs, and whose validation split did not.
        curves: of the LoRAs, by name.
    """
    from fulora.assessment.assess import read_findings
    from fulora.assessment.sets import read_sets
    from fulora.report.assessment import assessment_sections
    from fulora.report.page import write_report
    from fulora.report.sections import provenance
    from fulora.report.training import training_section

    sets = {name: read_sets(synthetic[name], images, images) for name in assessments}
    found = {name: read_findings(item.path) for name, item in assessments.items()}
    write_report(
        out,
        title=config.title,
        summary=[*(f"{name}: {one.verdicts[0].said}." for name, one in found.items()), config.about],
        sections=[
            *assessment_sections(sets, assessments),
            training_section(curves),
        ],
        provenance=provenance([images, *synthetic.values(), *assessments.values(), *curves.values()]),
    )
    return Report(out, "")
